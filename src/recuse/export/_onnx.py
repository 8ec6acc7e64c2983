"""One ONNX file: the network, the decision and its guarantee; and the check that it decides right.

n = examples, of any number; H, W = axes of an image, of any size where the model allows.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import extra, to_numpy
from recuse._internal.files import atomic, once, to_json
from recuse._version import __version__
from recuse.errors import InputError
from recuse.export._module import Decisions, SelectiveModule
from recuse.present import decisions as words
from recuse.rejector import Rejector

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from torch import Tensor

OPSET = 18
LIMIT = 2**31  # bytes of a protobuf, and so of one ONNX file
PREFIX = "recuse."
BATCH = 32  # rows that are compared at once


class Metadata(NamedTuple):
    """Metadata of an ONNX file."""

    rejector: Rejector
    digest: str  # checksum of the rejector's file
    version: str  # of recuse that wrote it


def to_onnx(
    module: SelectiveModule, path: str | os.PathLike, example: Tensor | tuple[Tensor, ...]
) -> None:
    """Write the module as one ONNX file, completely or not at all.

    The inputs are `input` (or `input_0`, `input_1`, ...), the outputs the fields of `Decisions`.
    The first axis of each input is the batch, of any size. For logits of pixels, the axes after
    the first two may have any size too, if the model allows it. The metadata of the file holds
    the guarantee under `recuse.guarantee`, and more.

    Args:
        module: Made by `to_module`.
        path: Name ending in .onnx; an existing file is replaced.
        example: Input of the model, or a tuple of its inputs, on the model's device. The values
            matter only if the model branches on them.

    Raises:
        InputError: Not a module of `to_module`, a module in training mode, an output that does
            not fit the rejector, a batch of fixed size, or 2 GB of weights (too much for ONNX).
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
    """Read the rejector inside an ONNX file, as strictly as `Rejector.load`.

    Its checksum detects damage and accidental edits. It is not a signature, and does not cover
    the network or the graph: use `check_onnx` for these.

    Raises:
        InputError: No such file, not ONNX, or not written by `to_onnx`.
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


class Parity(NamedTuple):
    """Differences between an ONNX file and its rejector, counted in predictions."""

    predictions: int
    decisions: int  # label or accept differs from `Rejector.predict` on the same logits
    confidences: int  # the float32 confidence differs from its, in any bit
    logits: float  # largest difference between the runtime's logits and PyTorch's
    changed: int  # label or accept differs from the module's, because of that difference

    def __str__(self) -> str:
        return words.parity(self)


def check_onnx(
    path: str | os.PathLike, module: SelectiveModule, example: Tensor | tuple[Tensor, ...]
) -> Parity:
    """Run a file in onnxruntime on the CPU and compare it with NumPy and with PyTorch.

    Two questions. Does the file decide as `Rejector.predict` does on the same logits? Then
    `decisions` is 0. And are its logits those of the module in PyTorch? They differ by rounding,
    unless the model was exported wrongly.

    Args:
        path: A file written by `to_onnx`.
        module: The module it was exported from.
        example: Inputs as for `to_onnx`, with any number of rows.

    Raises:
        InputError: No such file, one of another rejector, or one that onnxruntime cannot run.
        MissingExtraError: The extra `onnx` is not installed.
    """
    runtime = extra("onnxruntime", "onnx", "running ONNX")
    if read_metadata(path).rejector != module.rejector:
        raise InputError(f"{path}: expected the file of this module, got another rejector")
    inputs = as_inputs(example)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        parts = [
            _compared(session, module, part) for part in zip(*(x.split(BATCH) for x in inputs))
        ]
    except InputError:
        raise
    except Exception as error:  # the runtime's own classes, one for each of its codes
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: onnxruntime cannot run it: {reason}") from error
    *counts, logits, changed = zip(*parts)
    return Parity(*map(sum, counts), max(logits), sum(changed))


def _compared(session: Any, module: SelectiveModule, inputs: tuple[Tensor, ...]) -> Parity:
    """Compare one batch."""
    names = [x.name for x in session.get_inputs()]
    found: Any = Decisions(*session.run(None, dict(zip(names, map(to_numpy, inputs)))))
    with torch.no_grad():
        ours: Any = Decisions._make(map(to_numpy, module(*inputs)))
    decide = replace(module.rejector, model=None).predict  # whatever the inputs are
    expected = decide(found.logits)
    return Parity(
        found.label.size,
        _differ(found, expected.prediction, expected.accept),
        int((found.confidence != expected.confidence).sum()),
        _largest_difference(found.logits, ours.logits),
        _differ(found, ours.label, ours.accept),
    )


def _differ(found: Decisions, prediction: Any, accept: Any) -> int:
    """Number of examples whose predicted class or decision differs."""
    return int(((found.label != prediction) | (found.accept != accept)).sum())


def _largest_difference(a: Array, b: Array) -> float:
    """Largest difference of the logits; equal infinities do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.where(a == b, 0, np.abs(a.astype(np.float64) - b)).max())


def as_inputs(example: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Check the inputs of the model: one tensor each, with the batch on the first axis."""
    inputs = example if isinstance(example, tuple) else (example,)
    for x in inputs:
        if not isinstance(x, torch.Tensor) or x.ndim < 1 or 0 in x.shape:
            shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise InputError(f"expected example inputs as tensors (n, ...), got {shape}")
    return inputs


def random_inputs(
    shapes: Sequence[tuple[list[int], str]], seed: int, rows: int | None = None
) -> tuple[Tensor, ...]:
    """Draw random inputs of these sizes and dtypes; integers are 0, which every embedding has.

    Args:
        shapes: Sizes and name of the dtype of each input.
        seed: Random seed.
        rows: Size of the first axis, if another than in `shapes`.
    """
    rng = torch.Generator().manual_seed(seed)
    found = []
    for sizes, name in shapes:
        dtype = getattr(torch, name)
        sizes = sizes if rows is None else [rows, *sizes[1:]]
        x = torch.randn(sizes, generator=rng) if dtype.is_floating_point else torch.zeros(sizes)
        found.append(x.to(dtype))
    return tuple(found)


def read_inputs(paths: Sequence[Path], like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Read inputs from .npy files, with the dtypes of the example inputs."""
    if len(paths) != len(like):
        raise InputError(f"expected --check once for each of {len(like)} inputs, got {len(paths)}")
    found = []
    for path, x in zip(paths, like):
        array = _array(path)
        if array.ndim != x.ndim or array.shape[1] != x.shape[1] or not len(array):
            raise InputError(f"{path}: expected inputs like {tuple(x.shape)}, got {array.shape}")
        found.append(torch.from_numpy(array).to(x.dtype))
    if len({len(x) for x in found}) != 1:
        raise InputError(
            f"expected --check files with the same number of rows, got {[len(x) for x in found]}"
        )
    return tuple(found)


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: expected inputs in .npy, which this is not") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected a .npy file of numbers")
    return array


def _check_module(module: SelectiveModule) -> None:
    if not isinstance(module, SelectiveModule):
        raise InputError(f"expected a module of `to_module`, got {type(module).__name__}")
    if any(part.training for part in module.modules()):
        raise InputError("expected a module in evaluation mode: call `.eval()`")
    weights = [*module.parameters(), *module.buffers()]
    if (size := sum(w.numel() * w.element_size() for w in weights)) >= LIMIT:
        raise InputError(
            f"expected less than 2 GB of weights, got {size / 1e9:.1f} GB: an ONNX file cannot "
            "hold more; use torch.export"
        )


def _program(module: SelectiveModule, inputs: tuple[Tensor, ...]) -> Any:
    """Build the ONNX program; a batch of one is doubled, since it would be taken for a constant."""
    inputs = tuple(x.repeat_interleave(2, dim=0) if len(x) == 1 else x for x in inputs)
    with torch.no_grad():
        pixels = module(*inputs).label.ndim > 1  # raises errors of the model itself
    dynamic = torch.export.Dim
    size = {0: dynamic("batch")}
    axes = [size | {i: dynamic.AUTO for i in range(2, x.ndim) if pixels} for x in inputs]
    names = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    with _quiet(), torch.no_grad():
        try:  # in two steps: in one step, a batch of fixed size would pass
            program = torch.export.export(module, inputs, dynamic_shapes={"inputs": tuple(axes)})
            return torch.onnx.export(
                program,
                dynamo=True,
                input_names=names,
                output_names=list(Decisions._fields),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # each part has its own classes
            raise InputError(f"PyTorch cannot export this model: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """First line of the error at the root of the chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(filter(None, (line.strip() for line in str(error).splitlines())), repr(error))


@contextmanager
def _quiet() -> Generator[None]:
    """Silence messages for the developers of PyTorch."""
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
    """Write the threshold, or those of all classes in their order; null for "never accepted"."""
    return thresholds[0] or "null" if len(thresholds) == 1 else to_json(thresholds, indent=None)


def _described(rejector: Rejector) -> dict[str, str]:
    """Metadata for people and other programs, and the whole rejector for `read_metadata`."""
    data = rejector.to_dict()
    entries = {
        "version": __version__,
        "guarantee": rejector.statement,
        "score": str(rejector.score),
        "by": rejector.by,
        "threshold": _listed([rule["threshold"] for rule in data["rules"]]),
        "classes": str(rejector.classes),
        "kind": rejector.kind,
        "digest": data["checksum"],
        "rejector": to_json(data, indent=None),
    }
    return {f"{PREFIX}{name}": value for name, value in entries.items()}
