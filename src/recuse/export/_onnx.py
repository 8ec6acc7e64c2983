"""One ONNX file: the network, the decision, and what it promises.

n = examples, of any number; H, W = axes of an image, of any size where the model allows.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse._internal.check import extra
from recuse._internal.files import atomic, once, to_json
from recuse._version import __version__
from recuse.errors import InputError
from recuse.export._module import Decisions, SelectiveModule
from recuse.rejector import Rejector

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from torch import Tensor

OPSET = 18
LIMIT = 2**31  # bytes of a protobuf, and so of one ONNX file
PREFIX = "recuse."


class Metadata(NamedTuple):
    """What an ONNX file says about itself."""

    rejector: Rejector
    digest: str  # of the rejector's file
    version: str  # of recuse that wrote it


def to_onnx(
    module: SelectiveModule, path: str | os.PathLike, example: Tensor | tuple[Tensor, ...]
) -> None:
    """Write the module as one ONNX file, whole or not at all.

    Inputs are `input` (or `input_0`, `input_1`, ...), outputs the fields of `Decisions`. The
    first axis of each input is the batch, of any size. Where the logits are those of pixels, so
    are the axes after the first two, if the model allows. The file's metadata says, under
    `recuse.guarantee` and the like, what the decision promises.

    Args:
        module: Made by `to_module`.
        path: Ends in .onnx; an existing file is replaced.
        example: An input of the model, or a tuple of its inputs, on the model's device. Values do
            not matter, except to a model that branches on them.

    Raises:
        InputError: No such module, one in training mode, an output that does not fit the
            rejector, a batch of fixed size, or 2 GB of weights, which no ONNX file holds.
        MissingExtraError: The extra `onnx` is not installed.
    """
    for package in ("onnx", "onnxscript"):
        extra(package, "onnx", "export to ONNX")
    if Path(path).suffix.lower() != ".onnx":
        raise InputError(f"{path}: expected a name ending in .onnx")
    inputs = as_inputs(example)
    _check_module(module)
    program = _program(module, inputs)
    program.model.metadata_props.update(_described(module.rejector))
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)


def read_metadata(path: str | os.PathLike) -> Metadata:
    """The rejector inside an ONNX file, read as strictly as `Rejector.load` does.

    Its checksum finds damage and edits by mistake. It is no signature, and says nothing of the
    network or the graph: `check_onnx` runs these.

    Raises:
        InputError: No such file, no ONNX, or none that `to_onnx` wrote.
    """
    onnx = extra("onnx", "onnx", "reading ONNX")
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"{path}: expected an ONNX file, got {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError
        raise InputError(f"{path}: expected an ONNX file, got something else") from error
    found = {entry.key: entry.value for entry in model.metadata_props}
    names = [f"{PREFIX}{name}" for name in ("rejector", "digest", "version")]
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path}: expected a file of recuse.export, got no `{missing[0]}`")
    text, digest, version = (found[name] for name in names)
    try:
        rejector = Rejector.from_dict(json.loads(text, object_pairs_hook=once))
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: expected a rejector inside, got a malformed one") from error
    return Metadata(rejector, digest, version)


def as_inputs(example: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inputs of the model, one tensor each, with the batch on the first axis."""
    inputs = example if isinstance(example, tuple) else (example,)
    for x in inputs:
        if not isinstance(x, torch.Tensor) or x.ndim < 1 or 0 in x.shape:
            shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise InputError(f"expected example inputs as tensors (n, ...), got {shape}")
    return inputs


def _check_module(module: SelectiveModule) -> None:
    if not isinstance(module, SelectiveModule):
        raise InputError(f"expected what `to_module` returns, got {type(module).__name__}")
    if any(part.training for part in module.modules()):
        raise InputError("expected a module in evaluation mode: call `.eval()`")
    weights = [*module.parameters(), *module.buffers()]
    if (size := sum(w.numel() * w.element_size() for w in weights)) >= LIMIT:
        raise InputError(
            f"expected less than 2 GB of weights, got {size / 1e9:.1f} GB: an ONNX file holds no "
            "more; torch.export does"
        )


def _program(module: SelectiveModule, inputs: tuple[Tensor, ...]) -> Any:
    """The ONNX program; a batch of one would be taken for a constant, and is doubled."""
    inputs = tuple(x.repeat_interleave(2, dim=0) if len(x) == 1 else x for x in inputs)
    with torch.no_grad():
        pixels = module(*inputs).label.ndim > 1  # and errors of the model in its own words
    dynamic = torch.export.Dim
    size = {0: dynamic("batch")}
    axes = [size | {i: dynamic.AUTO for i in range(2, x.ndim) if pixels} for x in inputs]
    names = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    with _quiet(), torch.no_grad():
        try:  # two steps: in one, a batch of fixed size would pass
            program = torch.export.export(module, inputs, dynamic_shapes={"inputs": tuple(axes)})
            return torch.onnx.export(
                program,
                dynamo=True,
                input_names=names,
                output_names=list(Decisions._fields),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # each of its parts has classes of its own
            raise InputError(f"PyTorch cannot export this model: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first line of what went wrong at the bottom."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(filter(None, (line.strip() for line in str(error).splitlines())), repr(error))


@contextmanager
def _quiet() -> Generator[None]:
    """Without what PyTorch says to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "# The axis name")  # of a second input's batch
            yield
    finally:
        logger.setLevel(level)


def _listed(thresholds: list[str | None]) -> str:
    """The one threshold; or those of all classes, in their order, null for "never accepted"."""
    return thresholds[0] or "null" if len(thresholds) == 1 else to_json(thresholds, indent=None)


def _described(rejector: Rejector) -> dict[str, str]:
    """The metadata: for people and other programs, and whole for `read_metadata`."""
    data = rejector.to_dict()
    entries = {
        "version": __version__,
        "guarantee": str(rejector.guarantee),
        "score": str(rejector.score),
        "by": rejector.by,
        "threshold": _listed([rule["threshold"] for rule in data["rules"]]),
        "classes": str(rejector.classes),
        "kind": rejector.kind,
        "digest": data["checksum"],
        "rejector": to_json(data, indent=None),
    }
    return {f"{PREFIX}{name}": value for name, value in entries.items()}
