"""torchmetrics: areas and points of the risk-coverage curve, on any device and over processes.

n = predictions of a batch, K = classes (axis 1), ... = any trailing axes (pixels), b = bins;
m = predictions of a batch that count: n times the trailing axes, minus the ignored ones.

| metric | `compute()` |
|---|---|
| `AURC`, `AUGRC` | the areas of `recuse.aurc`, `recuse.augrc` |
| `CoverageAtRisk(risk)`, `RiskAtCoverage(coverage)` | points, as the functions of these names |
| `RiskCoverageCurve` | the whole curve, as `recuse.risk_coverage` |

`update(preds, target)` takes logits (n, K, ...) and labels (n, ...); for a network that returns
probabilities, pass their logarithm. With `score=None` it takes confidences and losses of one shape.
The choice is made at construction, never guessed.

The state is one of two, both synchronised between processes:

- exact (the default): every confidence and loss, 5 bytes per prediction from logits, 16 with
  `score=None`, and 16 more with `by_index`. `compute()` is the function of all rows.
- `sketch="log_odds"` or another scale of `recuse.CurveSketch`: counts by bin, of fixed size,
  synchronised by sum. Nothing leaves the device until `compute()`, which returns an estimate;
  `curve_sketch()` has its certified interval.

A `DistributedSampler` repeats examples so that all processes get equally many, and a metric counts
them twice. Either pass their indices, with `by_index=True`, or load with `UnpaddedSampler`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recuse import curves
from recuse._internal.check import base_class, check_fraction, extra
from recuse.errors import InputError
from recuse.export import _scores
from recuse.scores import Score
from recuse.sketch import CurveSketch
from recuse.sketch._bins import scale_named

torch = extra("torch", "torch", "recuse.integrations.torchmetrics")
Metric = base_class("torchmetrics", "Metric", "torchmetrics")

if TYPE_CHECKING:
    from torch import Tensor

Scorer = Callable[["Tensor"], "Tensor"]


class SelectiveMetric(Metric):
    """Base class of the metrics: arguments, `update` and state.

    Args:
        score: Score of the logits: its name, a `recuse.scores.Score` such as the one that `tune`
            chose, or a function of a tensor (m, K) on its device. None: `update` takes
            confidences and losses.
        sketch: None to keep every prediction, or the scale of a `recuse.CurveSketch`, for
            0-1 losses: "log_odds" for msp, "probability", "float" for any other.
        ignore_index: Labels that do not count (void pixels). Every other label outside
            0..K-1 is an error. Of ignored labels alone, `compute` returns NaN, or an empty curve.
        by_index: `update` takes the index of each example too, and an example that comes twice
            counts once. Not with `sketch`.
        kwargs: Arguments of `torchmetrics.Metric`.

    Raises:
        InputError: Options exclude each other. In `update`: shapes or dtypes do not fit. In
            `compute`: a batch had a NaN or a label out of range (checked there, so that `update`
            never waits for the device), or nothing was passed to `update`.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    measure: ClassVar[str]  # name of a function of `recuse.curves` and of a method of a sketch

    def __init__(
        self,
        *,
        score: str | Score | Scorer | None = "msp",
        sketch: str | None = None,
        ignore_index: int | None = None,
        by_index: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if sketch is not None and by_index:
            raise InputError("expected `by_index` without `sketch`: counts cannot be taken back")
        if score is None and ignore_index is not None:
            raise InputError("expected `ignore_index` with a score: a loss is no label")
        self.score = Score.parse(score) if isinstance(score, str) else score
        self.sketch = sketch
        self.ignore_index = ignore_index
        self.by_index = by_index
        self.levels: tuple[float, ...] = ()
        # malformed confidences; malformed labels or losses
        self._add_counts("malformed", 2)
        if sketch is None:
            for name in self._dtypes():
                self.add_state(name, [], dist_reduce_fx="cat")
        else:
            self.scale = scale_named(sketch)
            self._add_counts("counts", 2 * self.scale.size)  # right and wrong, by bin
            self._add_counts("rounded", 1)  # confidences that are no float32

    def update(self, preds: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            preds: Logits (n, K, ...) of any floating dtype; with `score=None`, confidences.
            target: Labels (n, ...); with `score=None`, losses in the shape of `preds`.
            index: Shape (n,), integer index of each example. Only with `by_index`.
        """
        if (index is not None) != self.by_index:
            raise InputError(
                f"expected `index` if and only if `by_index`, which is {self.by_index}"
            )
        if self.score is None:
            confidence, loss, bad = _given(preds, target)
            kept = None
        else:
            logits, labels = _flat(preds, target)
            kept = None if self.ignore_index is None else labels != self.ignore_index
            if kept is not None:
                logits, labels = logits[kept], labels[kept]
            confidence, loss, bad = _scored(self.score, logits, labels)
        if self.sketch is not None:
            self._count(confidence, loss, bad)
            return
        self._note(confidence.isnan(), bad)
        self.confidence.append(confidence)
        self.loss.append(loss)
        if index is not None:
            rows = _row_ids(index, target)
            self.row.append(rows if kept is None else rows[kept])

    def compute(self) -> Any:
        """Return the measure of all predictions, over all processes; NaN if all are ignored."""
        self._check()
        if self.sketch is not None:
            seen, value = self.counts.any(), self._sketched
        else:
            rows = self._rows()
            seen = rows[0].size
            value = partial(getattr(curves, self.measure), *rows, *self.levels)
        return self._result(value() if seen or not self.update_called else self._of_none())

    def curve_sketch(self) -> CurveSketch:
        """Return the counts of this process as a `recuse.CurveSketch`, to save, merge or certify.

        Inside `with metric.sync_context():` they are those of all processes.

        Raises:
            InputError: The metric keeps every prediction.
        """
        if self.sketch is None:
            raise InputError("expected a metric with `sketch`, got one that keeps predictions")
        about = {"score": str(self.score)} if isinstance(self.score, Score) else {}
        found = CurveSketch(self.sketch, about=about)
        found._add(self.counts.cpu().numpy().reshape(-1, 2), None, (int(self.rounded), 0))
        return found

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Synchronise; a process without data sends states of the right dtype."""
        if self.sketch is None:
            for name, dtype in self._dtypes().items():
                if not getattr(self, name):
                    shape = (0, 2) if name == "row" else (0,)
                    setattr(self, name, [torch.empty(shape, dtype=dtype, device=self.device)])
        super().sync(*args, **kwargs)

    def _of_none(self) -> Any:
        """Return the measure of a batch without a prediction that counts."""
        return np.nan

    def _sketched(self) -> Any:
        return getattr(self.curve_sketch(), self.measure)(*self.levels).value

    def _add_counts(self, name: str, size: int) -> None:
        self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def _dtypes(self) -> dict[str, Any]:
        """Return the dtypes of the exact states."""
        confidence, loss = (
            (torch.float64, torch.float64) if self.score is None else (torch.float32, torch.uint8)
        )
        states = {"confidence": confidence, "loss": loss}
        return {**states, "row": torch.int64} if self.by_index else states

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all confidences and losses; of an index that came twice, the least confident."""
        states = [getattr(self, name) for name in self._dtypes()]
        if any(isinstance(s, list) and not s for s in states):
            return np.empty(0), np.empty(0)
        c, l, *row = ((torch.cat(s) if isinstance(s, list) else s).cpu().numpy() for s in states)
        if not row:
            return c, l
        example, pixel = row[0].T
        order = np.lexsort((l, c, pixel, example))
        new = np.diff(row[0][order], axis=0, prepend=row[0][order[:1]] - 1).any(axis=1)
        return c[order[new]], l[order[new]]

    def _count(self, confidence: Tensor, loss: Tensor, bad: Tensor) -> None:
        """Find and count the bins of `CurveSketch` on the device."""
        value = confidence.float()
        held = self.scale.holds(value, torch)
        key = 2 * self.scale.bins(torch.where(held, value, 0.0), torch).long() + (loss == 1)
        self.counts = self.counts.index_add(0, key, torch.ones_like(key))
        self.rounded = self.rounded + (value.to(confidence.dtype) != confidence).sum()
        self._note(~held, bad | ((loss != 0) & (loss != 1)))

    def _note(self, *malformed: Tensor) -> None:
        """Count the values that `compute` will refuse."""
        self.malformed = self.malformed + torch.stack([bad.sum() for bad in malformed])

    def _check(self) -> None:
        """Raise an error about malformed values that `update` has counted."""
        confidences, losses = self.malformed.tolist()
        if confidences:
            outside = f" {self.scale.expected}" if self.sketch else " without NaN"
            raise InputError(
                f"expected finite logits and confidences{outside}, got {confidences} others"
            )
        if losses:
            expected = "labels in 0..K-1 or `ignore_index`"
            if self.score is None:
                expected = "losses " + ("of 0 and 1" if self.sketch else "finite and >= 0")
            raise InputError(f"expected {expected}, got {losses} others")

    def _result(self, value: Any) -> Any:
        """Return a tensor on the device of the metric, for loggers."""
        return torch.tensor(value, dtype=torch.float64, device=self.device)


class AURC(SelectiveMetric):
    """`recuse.aurc`; smaller is better. Arguments and errors as in `SelectiveMetric`.

    >>> metric = AURC()
    >>> metric.update(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    >>> metric.update(torch.tensor([[0.0, 2.0]]), torch.tensor([1]))
    >>> metric.compute()
    tensor(0.1111, dtype=torch.float64)
    >>> given = AURC(score=None)
    >>> given(torch.tensor([0.9, 0.7, 0.8]), torch.tensor([0, 1, 0]))
    tensor(0.1111, dtype=torch.float64)
    """

    measure = "aurc"


class AUGRC(SelectiveMetric):
    """`recuse.augrc`; smaller is better. Arguments and errors as in `SelectiveMetric`.

    >>> metric = AUGRC(score=None)
    >>> metric(torch.tensor([0.9, 0.7, 0.8]), torch.tensor([0, 1, 0]))
    tensor(0.1111, dtype=torch.float64)
    """

    measure = "augrc"


class CoverageAtRisk(SelectiveMetric):
    """`recuse.coverage_at_risk`; larger is better, and 0 where no threshold reaches the risk.

    Args:
        risk: Level in [0, 1].
        options: Arguments of `SelectiveMetric`.

    Only the most confident is wrong, and all can be accepted:

    >>> metric = CoverageAtRisk(0.25, score=None)
    >>> metric(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, 0, 0]))
    tensor(1., dtype=torch.float64)
    """

    measure = "coverage_at_risk"
    higher_is_better = True

    def __init__(self, risk: float, **options: Any):
        super().__init__(**options)
        self.levels = (check_fraction(risk, "risk", zero=True, one=True),)


class RiskAtCoverage(SelectiveMetric):
    """`recuse.risk_at_coverage`; smaller is better.

    Args:
        coverage: Level in (0, 1].
        options: Arguments of `SelectiveMetric`.

    >>> metric = RiskAtCoverage(0.5, score=None)
    >>> metric(torch.tensor([0.9, 0.8, 0.8, 0.6]), torch.tensor([0, 1, 0, 0]))
    tensor(0.3333, dtype=torch.float64)
    """

    measure = "risk_at_coverage"

    def __init__(self, coverage: float, **options: Any):
        super().__init__(**options)
        self.levels = (check_fraction(coverage, "coverage", one=True),)


class RiskCoverageCurve(SelectiveMetric):
    """`recuse.risk_coverage`: its four columns as tensors, from the highest threshold down.

    Plot `risk` over `coverage`. Arguments and errors as in `SelectiveMetric`.

    >>> metric = RiskCoverageCurve(score=None)
    >>> metric(torch.tensor([0.9, 0.8, 0.8]), torch.tensor([0, 1, 0])).coverage
    tensor([0.3333, 1.0000], dtype=torch.float64)
    """

    measure = "risk_coverage"
    higher_is_better = None

    def _of_none(self) -> curves.RiskCoverage:
        return curves.RiskCoverage(*(np.empty(0, t) for t in (float, float, float, int)))

    def _sketched(self) -> curves.RiskCoverage:
        return self.curve_sketch().curve()

    def _result(self, value: curves.RiskCoverage) -> curves.RiskCoverage:
        columns = (torch.from_numpy(np.ascontiguousarray(x)).to(self.device) for x in value)
        return curves.RiskCoverage(*columns)


class UnpaddedSampler(torch.utils.data.Sampler):
    """Sampler that gives every example once: r, r + w, r + 2w, ... to process r of w.

    `DistributedSampler` repeats examples until all processes have equally many. With this sampler
    some have one more, and perhaps one batch more, so nothing else may communicate at each step.
    In Lightning, set `Trainer(use_distributed_sampler=False)`.

    Args:
        data: Any object with a length.
        rank: Number of this process; by default that of torch.distributed, or 0.
        world: Number of processes; by default that of torch.distributed, or 1.

    >>> [list(UnpaddedSampler("abcde", rank=r, world=2)) for r in range(2)]
    [[0, 2, 4], [1, 3]]
    """

    def __init__(self, data: Any, *, rank: int | None = None, world: int | None = None):
        group = torch.distributed
        active = group.is_available() and group.is_initialized()
        rank = (group.get_rank() if active else 0) if rank is None else rank
        world = (group.get_world_size() if active else 1) if world is None else world
        if not 0 <= rank < world:
            raise InputError(f"expected `rank` in 0..{world - 1}, got {rank}")
        self.indices = range(rank, len(data), world)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


# Each function below returns what a metric keeps of a batch


def _scored(score: Score | Scorer, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return confidence, 0-1 loss and a mask of invalid labels of rows (m, K)."""
    if isinstance(score, Score):
        confidence = _scores.confidence(score, logits)
    else:
        confidence = score(logits).float()
        if confidence.shape != labels.shape:
            raise InputError(
                f"expected a score of shape {tuple(labels.shape)}, got {tuple(confidence.shape)}"
            )
    outside = (labels < 0) | (labels >= logits.shape[1])
    return confidence, (logits.argmax(dim=1) != labels).to(torch.uint8), outside


def _flat(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (n times the trailing axes, K) and their labels."""
    if not logits.is_floating_point() or logits.ndim < 2 or logits.shape[1] < 2:
        raise InputError(
            "expected logits of a floating dtype and shape (n, K, ...), K >= 2, "
            f"got {logits.dtype} {tuple(logits.shape)}; for confidences give `score=None`"
        )
    shape = logits.shape[:1] + logits.shape[2:]
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.shape != shape:
        raise InputError(
            f"expected labels of an integer dtype and shape {tuple(shape)}, "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    return logits.detach().movedim(1, -1).flatten(0, -2), labels.flatten()


def _given(confidence: Tensor, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return confidences and losses in float64, and a mask of invalid losses."""
    if not confidence.is_floating_point() or confidence.ndim < 1 or confidence.shape != loss.shape:
        raise InputError(
            "expected confidences of a floating dtype and losses of one shape (n, ...), "
            f"got {confidence.dtype} {tuple(confidence.shape)} and {tuple(loss.shape)}"
        )
    l = loss.detach().flatten().double()
    return confidence.detach().flatten().double(), l, ~(l.isfinite() & (l >= 0))


def _row_ids(index: Tensor, target: Tensor) -> Tensor:
    """Return (index of the example, number of its pixel) for each target."""
    if index.is_floating_point() or index.shape != target.shape[:1]:
        raise InputError(
            f"expected `index` of an integer dtype and shape ({len(target)},), "
            f"got {index.dtype} {tuple(index.shape)}"
        )
    pixels = target.numel() // max(1, len(target))
    example = index.to(target.device, torch.int64).repeat_interleave(pixels)
    pixel = torch.arange(pixels, device=target.device).repeat(len(target))
    return torch.stack([example, pixel], dim=1)
