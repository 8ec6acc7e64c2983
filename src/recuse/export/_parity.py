"""Does an ONNX file decide as its rejector does?

n = examples, r = predictions: n times the pixels of each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import extra, to_numpy
from recuse.errors import InputError
from recuse.export._module import Decisions, SelectiveModule
from recuse.export._onnx import as_inputs, read_metadata
from recuse.rejector import Predictions, Rejector
from recuse.scores import from_binary, from_probs

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from torch import Tensor

BATCH = 32


class Parity(NamedTuple):
    """What differs, counted in predictions."""

    predictions: int
    decisions: int  # label or accept is not `Rejector.predict`'s of the same logits
    confidences: int  # the float32 confidence is not its, to the last bit
    logits: float  # largest difference between the runtime's logits and PyTorch's
    changed: int  # label or accept is another than the module's, by that difference

    def __str__(self) -> str:
        same = f"{self.decisions:,} of {self.predictions:,} decisions"
        return (
            f"{same} differ from those of recuse on the same logits; the logits differ from "
            f"PyTorch's by at most {self.logits:.1g}, which changes {self.changed:,} decisions."
        )


def check_onnx(
    path: str | os.PathLike, module: SelectiveModule, example: Tensor | tuple[Tensor, ...]
) -> Parity:
    """Run a file in onnxruntime on the CPU, and compare it with NumPy and with PyTorch.

    Two questions. Given its own logits, does the file decide as `Rejector.predict` does?
    `decisions` must be 0. And are its logits those of the module in PyTorch? They differ by
    rounding, unless the model was exported wrong.

    Args:
        path: What `to_onnx` wrote.
        module: The module it was made from.
        example: Inputs as for `to_onnx`, of any number of rows.

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
    """One batch."""
    names = [x.name for x in session.get_inputs()]
    found: Any = Decisions(*session.run(None, dict(zip(names, map(to_numpy, inputs)))))
    with torch.no_grad():
        ours: Any = Decisions._make(map(to_numpy, module(*inputs)))
    expected = predicted(module.rejector, found.logits)
    return Parity(
        found.label.size,
        _differ(found, expected.prediction, expected.accept),
        int((found.confidence != expected.confidence).sum()),
        _largest_difference(found.logits, ours.logits),
        _differ(found, ours.label, ours.accept),
    )


def predicted(rejector: Rejector, output: Array) -> Predictions:
    """`Rejector.predict` of what a model returned."""
    convert = {"binary": from_binary, "probs": from_probs}.get(rejector.kind, np.asarray)
    return rejector.predict(convert(output))


def _differ(found: Decisions, prediction: Any, accept: Any) -> int:
    """Number of examples whose predicted class or decision differs."""
    return int(((found.label != prediction) | (found.accept != accept)).sum())


def _largest_difference(a: Array, b: Array) -> float:
    """Of finite logits; equal infinities do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.where(a == b, 0, np.abs(a.astype(np.float64) - b)).max())
