"""Models of timm by name, and how timm prepares images for them.

K = outputs; images (c, h, w).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse.collect._package import package
from recuse.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MODES = {1: "L", 3: "RGB"}  # of Pillow, by the channels of a model


class Preprocessing(NamedTuple):
    """From an image of Pillow to the input of a model."""

    transform: Any
    mode: str  # of the image
    words: str  # for people


def create(
    name: str, *, pretrained: bool = False, like: Mapping[str, Tensor] | None = None
) -> Module:
    """The model of that name, with random weights or with those that timm fetches.

    Args:
        name: As `timm.create_model` takes it, such as resnet50.a1_in1k or hf-hub:USER/MODEL.
        pretrained: Fetch its weights over the network.
        like: Weights that it will get, for the number of its outputs.

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
    """Size, crop, mean and standard deviation as in the configuration of a model of timm.

    A module that has none is given timm's defaults: 224 pixels, crop 0.875, bicubic, mean and
    standard deviation of ImageNet.

    Raises:
        InputError: The model takes neither one channel nor three.
    """
    data = package("timm").data
    config = data.resolve_data_config(model=module)
    channels, height, width = config["input_size"]
    if channels not in MODES:
        raise InputError(f"expected a model of 1 or 3 channels, got {channels}")
    words = (
        f"at {height} x {width}, {config['crop_mode']} crop {config['crop_pct']:g}, "
        f"{config['interpolation']}, mean {_shown(config['mean'])}, std {_shown(config['std'])}"
    )
    return Preprocessing(data.create_transform(**config), MODES[channels], words)


def _outputs(name: str, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """As many outputs as the last layer of the weights has, where timm knows that layer."""
    found = package("timm").get_pretrained_cfg(name)
    layer = getattr(found, "classifier", None) or ""
    layer = layer if isinstance(layer, str) else layer[0]
    for key, value in weights.items():
        if key == f"{layer}.weight" or key.endswith(f".{layer}.weight"):
            return {"num_classes": len(value)}
    return {}


def _shown(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{v:.3g}' for v in values)})"
