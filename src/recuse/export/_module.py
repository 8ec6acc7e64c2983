"""A model and its rejector as one torch module.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels); r = n times these;
b = vertices of the isotonic map to p_correct.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch.utils import _pytree

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.export._costs import cheapest
from recuse.export._scores import of_rows
from recuse.io._rows import refuse_confidences
from recuse.rejector import CLASS, SUBGROUP, IsotonicMap, Rejector
from recuse.scores import Score
from recuse.scores._costs import EXPECTED_COST
from recuse.scores._functions import ROUNDED, STRAY

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from torch import Tensor

MALFORMED = -1  # the label where the logits are malformed


class Decisions(NamedTuple):
    """Output of the module: a decision for each example (or pixel)."""

    logits: Tensor  # as the model gave them
    label: Tensor  # int64 (n, ...): the lowest index among the maxima; by costs, the cheapest
    confidence: Tensor  # float32 (n, ...): the ranking score, in its own unit
    accept: Tensor  # bool (n, ...): confidence >= its threshold, if it has one
    p_correct: Tensor  # float32 (n, ...): estimated probability of being right


# known to torch.export.save
_pytree._register_namedtuple(Decisions, serialized_type_name="recuse.export.Decisions")


class SelectiveModule(torch.nn.Module):
    """A model whose output tells which predictions to accept; made by `to_module`.

    Thresholds and parameters of the score are constants of the code, not weights: `half()` or a
    training step changes the model, but never the decision on its logits. For malformed logits
    (NaN, +inf) the label is -1, the confidence NaN, and nothing is accepted.
    """

    def __init__(self, model: torch.nn.Module, rejector: Rejector):
        super().__init__()
        self.model = model
        self.rejector = rejector

    def forward(self, *inputs: Tensor) -> Decisions:
        """Return the logits of the model and the decisions of the rejector on them."""
        output = self.model(*inputs)
        z = as_logits(output, self.rejector)
        rows = z.movedim(1, -1).flatten(0, -2)
        if (filler := self.rejector.filler) is not None:
            rows = rows.masked_fill(rows <= rows.new_tensor(filler), -math.inf)
        label, confidence, of_right = decided(self.rejector.score, rows)
        threshold = self._thresholds(label)
        columns = (
            label.masked_fill(confidence.isnan(), MALFORMED),
            confidence,
            (confidence >= threshold) & (threshold < math.inf),
            interpolated(self.rejector.isotonic_map, of_right).float(),
        )
        shape = z.shape[:1] + z.shape[2:]
        return Decisions(output, *(column.reshape(shape) for column in columns))

    def _thresholds(self, label: Tensor) -> Tensor:
        """One threshold, or that of each predicted class; +inf where nothing is accepted."""
        each = [rule.threshold for rule in self.rejector.rules]  # float32 values
        table = torch.tensor(each, dtype=torch.float32, device=label.device)
        return table[label] if self.rejector.by == CLASS else table

    def extra_repr(self) -> str:
        """Describe the rejector in the repr."""
        return str(self.rejector)


def decided(score: Score, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return label, confidence, and what the probability of being right goes by."""
    if score.name == EXPECTED_COST:
        return cheapest(score, rows)
    confidence = of_rows(score, rows)
    return rows.argmax(dim=1), confidence, confidence


def to_module(model: torch.nn.Module, rejector: Rejector) -> SelectiveModule:
    """Combine a model and a rejector into one module, in evaluation mode.

    Args:
        model: inputs -> logits (n, K, ...) of any floating dtype; for a rejector fitted with
            `kind="binary"`, one column (n,) or (n, 1, ...); with "probs", probabilities
            (n, K, ...).
        rejector: Fitted on logits of this model, with one threshold or one for each class.

    Returns:
        A module that takes the model's inputs and returns `Decisions`. It contains the given
        model, which is put in evaluation mode.

    Raises:
        InputError: The model is not a module, the rejector has thresholds for subgroups, or
            the output does not fit the rejector when the module runs.

    >>> import numpy as np
    >>> import recuse
    >>> rng = np.random.default_rng(0)
    >>> logits = 6 * rng.normal(size=(400, 3))
    >>> labels = logits.argmax(axis=1)
    >>> splits = (logits[:200], labels[:200]), (logits[200:], labels[200:])
    >>> rejector = recuse.fit(*splits, target_risk=0.1)
    >>> module = to_module(torch.nn.Identity(), rejector)
    >>> decided = module(torch.tensor([[9.0, 0.0, 0.0], [0.0, torch.nan, 0.0]]))
    >>> decided.label, decided.accept
    (tensor([ 0, -1]), tensor([ True, False]))
    """
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"expected a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(rejector, Rejector):
        raise InputError(f"expected a Rejector, got {type(rejector).__name__}")
    refuse_confidences(rejector.kind, "use `Rejector.predict`")
    if rejector.by == SUBGROUP:
        raise InputError(
            "expected a rejector with one threshold or one for each class, got one for each "
            "subgroup: the subgroup is not an input of the model, so use `Rejector.predict`"
        )
    return SelectiveModule(model, rejector).eval()


def as_logits(output: Any, rejector: Rejector) -> Tensor:
    """Convert the output of the model to logits (n, K, ...) in float64, by the kind it has."""
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        kind = output.dtype if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"expected a model that returns one floating tensor, got {kind}")
    given = output.detach()
    if rejector.kind in ("binary", "probs") and given.ndim == 1:
        given = given[:, None]
    columns = 1 if rejector.kind == "binary" else rejector.classes
    one = rejector.kind == "probs" and given.shape[1:2] == (1,)  # of class 1 of two
    if given.ndim < 2 or given.shape[1] != (1 if one and columns == 2 else columns):
        raise InputError(
            f"expected a model that returns {rejector.kind} of shape (n, {columns}, ...), as the "
            f"rejector was fitted for, got {tuple(output.shape)}"
        )
    convert = {"binary": _from_binary, "probs": _from_probs}.get(rejector.kind, torch.Tensor.double)
    return convert(given)


def _from_binary(z: Tensor) -> Tensor:
    """`scores.from_binary` in torch."""
    return torch.cat([torch.zeros_like(z), z], dim=1).double()


def _from_probs(q: Tensor) -> Tensor:
    """`scores.from_probs` in torch; NaN where a row is not a distribution."""
    q = q.double()
    q = torch.cat([1 - q, q], dim=1) if q.shape[1] == 1 else q
    far = ~((q.sum(dim=1) - 1).abs() <= q.new_tensor(ROUNDED))
    bad = far | ~((q >= -STRAY) & (q <= 1 + STRAY)).all(dim=1)
    return q.clamp(0, 1).log().masked_fill(bad[:, None], math.nan)


def interpolated(isotonic_map: IsotonicMap, x: Tensor) -> Tensor:
    """Apply the map to every confidence (r,): float64, constant beyond the ends, NaN for NaN.

    The last vertex at or below x is found by bisection in log b steps, with operators of every
    runtime.
    """
    c, p = np.array(isotonic_map.confidence), np.array(isotonic_map.probability)
    rise = np.diff(c, append=np.inf)
    slope = np.diff(p, append=p[-1]) / np.where(rise == 0, 1, rise)
    at, height, tilt = (torch.tensor(column, device=x.device) for column in (c, p, slope))
    x = x.double()
    left = torch.zeros_like(x, dtype=torch.int64)
    for step in _halving(len(c)):
        further = (left + step).clamp(max=len(c) - 1)
        left = torch.where(at[further] <= x, further, left)
    inside = torch.where((x < at[0]) | (x >= at[-1]), at[left], x)
    return height[left] + tilt[left] * (inside - at[left])


def _halving(size: int) -> list[int]:
    """Steps of a bisection that reaches every index below `size`."""
    return [1 << i for i in reversed(range((size - 1).bit_length()))]
