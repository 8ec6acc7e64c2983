"""Weights of a model from a file: safetensors, or a PyTorch file read with weights only.

Nothing is unpickled that is not a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recuse.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

NESTED = ("state_dict", "model", "model_state_dict")  # where trainers put the weights
NAMED = 3  # how many names a message shows


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; of a trainer's file, its entry of `NESTED`.

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
            f"{_shown(missing)} and {len(left)} left over{_shown(left)}"
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


def _shown(names: list[str]) -> str:
    return f" ({', '.join(names[:NAMED])}{', ...' * (len(names) > NAMED)})" if names else ""
