"""Models by name: `timm:NAME`, or `path.py:function` of the user, with weights from a file.

Weights are safetensors, or a PyTorch file read with weights only: nothing is unpickled that is not
a tensor.

K = outputs; images (c, h, w).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse._internal.check import extra
from recuse.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TIMM = "timm:"
MODES = {1: "L", 3: "RGB"}  # of Pillow, by the channels of a model
NESTED = ("state_dict", "model", "model_state_dict")  # where trainers put the weights
NAMED = 3  # how many names a message shows


class Preprocessing(NamedTuple):
    """From an image of Pillow to the input of a model."""

    transform: Any
    mode: str  # of the image
    config: Mapping[str, Any] | None  # of timm; None where the transform is the user's


class Model(NamedTuple):
    """The model that a source stands for."""

    source: str
    module: Module
    images: Preprocessing
    weights: str | None  # where they are from; None if random

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits of a batch (n, c, h, w), in a dtype that every format holds."""
        try:
            z = self.module(pixels)
        except (Exception, SystemExit) as error:
            shape, reason = tuple(pixels.shape), " ".join(str(error).split())
            raise InputError(
                f"{self.source}: the model fails on images of shape {shape}: {reason}"
            ) from error
        return z.float() if str(getattr(z, "dtype", "")) == "torch.bfloat16" else z


def load_model(
    source: str, checkpoint: Path | None = None, pretrained: bool | None = None
) -> Model:
    """Load the model of a source with its weights.

    Args:
        source: timm:NAME, or path.py:function, whose function returns a torch module, or (module,
            transform of an image).
        checkpoint: Weights in a file.
        pretrained: Fetch timm's weights over the network; by default, unless there is a checkpoint.

    Raises:
        InputError: No such model or weights, or weights of another model.
        MissingExtraError: timm is needed and not installed.
    """
    if checkpoint is not None and pretrained:
        raise InputError("expected --pretrained or --checkpoint, got both")
    if source.startswith(TIMM):
        return _of_timm(source, checkpoint, checkpoint is None and pretrained is not False)
    if pretrained is not None:
        raise InputError("--pretrained is for timm:NAME: a function loads its own weights")
    module, transform = _made_by(source)
    if checkpoint is not None:
        load_weights(module, read_weights(checkpoint), str(checkpoint))
    weights = source if checkpoint is None else str(checkpoint)
    if transform is not None:
        return Model(source, module, Preprocessing(transform, "RGB", None), weights)
    return Model(source, module, preprocessing(module), weights)


def _made_by(source: str) -> tuple[Module, Any]:
    from torch.nn import Module

    found = load_function(source, name="timm:NAME or")()
    module, transform = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(module, Module) or not (transform is None or callable(transform)):
        raise InputError(
            f"{source}: expected a torch module, or (module, transform), got {type(found).__name__}"
        )
    return module, transform


def _of_timm(source: str, checkpoint: Path | None, pretrained: bool) -> Model:
    import torch

    name = source.removeprefix(TIMM)
    torch.manual_seed(0)  # of random weights
    if checkpoint is None:
        module = create(name, pretrained=pretrained)
        return Model(source, module, preprocessing(module), source if pretrained else None)
    weights = read_weights(checkpoint)
    module = create(name, like=weights)
    load_weights(module, weights, str(checkpoint))
    return Model(source, module, preprocessing(module), str(checkpoint))


def load_function(spec: str, *, name: str = "--model") -> Callable[[], Any]:
    """Return the function of `path.py:function`; the file runs as a script of its own would.

    `name` is what the command calls the option.
    """
    file, _, function = spec.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not function.isidentifier():
        raise InputError(f"expected {name} path.py:function, got {spec!r}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    loader = SourceFileLoader(f"_model_{path.stem}", str(path.absolute()))
    module = sys.modules[loader.name] = ModuleType(loader.name)
    module.__file__ = loader.path
    sys.path.insert(0, str(path.parent.absolute()))
    _call(spec, loader.exec_module, module)
    if not callable(getattr(module, function, None)):
        raise InputError(f"{path}: expected a function {function!r}, got none")
    return lambda: _call(spec, getattr(module, function))


def _call(spec: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call the user's code; an exception, or an exit, becomes one line."""
    try:
        return call(*arguments)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{spec} raised {type(error).__name__}: {reason}") from error


def create(
    name: str, *, pretrained: bool = False, like: Mapping[str, Tensor] | None = None
) -> Module:
    """Create the model of timm of that name, with random weights or those that timm fetches.

    Args:
        name: As `timm.create_model` takes it, such as resnet50.a1_in1k or hf-hub:USER/MODEL.
        pretrained: Fetch its weights over the network.
        like: Weights that it will get, which tell the number of its outputs.

    Raises:
        InputError: No such model, or its weights cannot be fetched.
    """
    timm = package("timm")
    if ":" not in name and not timm.is_model(name):
        near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise InputError(f"timm:{name}: timm {timm.__version__} has no such model{hint}")
    outputs = {} if like is None else _outputs(name, like)
    try:
        return timm.create_model(name, pretrained=pretrained, **outputs)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if not pretrained:
            raise InputError(f"timm:{name} raised {reason}") from error
        raise InputError(
            f"timm:{name}: no weights could be fetched; without a network give --checkpoint FILE, "
            f"or --no-pretrained for random ones ({reason})"
        ) from error


def preprocessing(module: Module) -> Preprocessing:
    """Return the preprocessing of timm's configuration of a model: size, crop, mean, deviation.

    A module without one gets timm's defaults: 224 pixels, crop 0.875, bicubic, mean and
    standard deviation of ImageNet.

    Raises:
        InputError: The model takes neither one channel nor three.
    """
    data = package("timm").data
    config = data.resolve_data_config(model=module)
    channels, *_ = config["input_size"]
    if channels not in MODES:
        raise InputError(f"expected a model of 1 or 3 channels, got {channels}")
    return Preprocessing(data.create_transform(**config), MODES[channels], config)


def _outputs(name: str, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the outputs of the last layer of the weights, where timm knows that layer."""
    found = package("timm").get_pretrained_cfg(name)
    layer = getattr(found, "classifier", None) or ""
    layer = layer if isinstance(layer, str) else layer[0]
    for key, value in weights.items():
        if key == f"{layer}.weight" or key.endswith(f".{layer}.weight"):
            return {"num_classes": len(value)}
    return {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint by name; of a trainer's file, its entry of `NESTED`.

    Raises:
        InputError: No such file, a damaged one, or one that holds more than tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    found = _safetensors(path) if path.suffix == ".safetensors" else _weights_only(path)
    while isinstance(found, Mapping) and (inner := [k for k in NESTED if _nests(found, k)]):
        found = found[inner[0]]
    if not _is_state(found):
        raise InputError(f"{path}: expected tensors by name (a state_dict), got something else")
    return dict(found)


def load_weights(module: Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Give a module its weights, all of them; `name` is that of the file, for messages.

    What a wrapper puts before every name (`module.`, `model.`, `_orig_mod.`) is taken off.

    Raises:
        InputError: Weights are missing, left over or of another shape.
    """
    state = _unwrapped(weights, set(module.state_dict()))
    try:
        missing, left = module.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of another shape
        raise InputError(f"{name}: {str(error).splitlines()[-1].strip()}") from error
    if missing or left:
        raise InputError(
            f"{name}: expected the weights of the model, got {len(missing)} missing"
            f"{_named(missing)} and {len(left)} left over{_named(left)}"
        )


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error


def _weights_only(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path}: holds more than weights or is damaged, and is not unpickled: save "
            "model.state_dict(), or safetensors"
        ) from error


def _nests(found: Mapping[str, Any], key: str) -> bool:
    return isinstance(found.get(key), Mapping)


def _is_state(found: Any) -> bool:
    from torch import Tensor

    return (
        isinstance(found, Mapping)
        and bool(found)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items())
    )


def _unwrapped(weights: Mapping[str, Tensor], names: set[str]) -> Mapping[str, Tensor]:
    while not names & weights.keys():
        prefixes = {key.partition(".")[0] for key in weights}
        if len(prefixes) != 1 or not all("." in key for key in weights):
            break
        weights = {key.partition(".")[2]: value for key, value in weights.items()}
    return weights


def _named(names: list[str]) -> str:
    return f" ({', '.join(names[:NAMED])}{', ...' * (len(names) > NAMED)})" if names else ""


def package(name: str) -> Any:
    """Import timm or segmentation_models_pytorch.

    Raises:
        MissingExtraError: It is not installed.
        InputError: It is, with a torchvision that does not fit this torch.
    """
    try:
        return extra(name, "vision", f"a network of {name}")
    except MissingExtraError:
        raise
    except Exception as error:  # a torchvision for another torch raises on import
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name} cannot be imported ({reason}): expected a torchvision that fits this torch"
        ) from error
