"""Choosing among trained models: accuracy, calibration, ranking, and what chance explains.

n = rows, N = predictions, K = classes, M = models.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse import calibration
from recuse._internal.check import (
    check_confidence,
    check_fraction,
    check_named,
    check_seed,
    check_sequence,
    number_of,
)
from recuse._internal.files import digest
from recuse.errors import InputError
from recuse.evaluation._matched import examples, matched
from recuse.evaluation._measures import RISKS
from recuse.evaluation._model import stated_probability
from recuse.evaluation._picked import Estimate, Pick, PickedModel, Ranking, key_of
from recuse.evaluation._scored import default_scores
from recuse.intervals import (
    AURC,
    Comparisons,
    Measure,
    compare_all,
    coverage_at,
    risk_at,
    standard_error,
)
from recuse.intervals._influence import variance_of_mean
from recuse.io import HeldOut, overlap, read, split_rows
from recuse.io._checked import check_file, naming
from recuse.io._row_hashes import fingerprints
from recuse.rejector import Data
from recuse.scores import Score
from recuse.tuning import tune
from recuse.tuning._tune import baseline_name

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

FORM = '{"0": ..., "0.1": ...}'
Given = Data | str | os.PathLike | Callable[[], HeldOut]


def pick(
    models: Mapping[str, Given],
    *,
    train: Mapping[str, Given] | None = None,
    criterion: str = "aurc",
    risks: Sequence[float] = RISKS,
    kind: str | None = None,
    seed: int = 0,
) -> Pick:
    """Compare trained models on the same held-out examples, and pick one.

    Use it to choose the smoothing of a training. Every number is measured on the examples given,
    which no model was trained on. The repaired ranking is cross-fitted: the examples are split
    into two halves, groups whole, and each half is ranked by the score that `tune` chose on the
    other half. If both halves chose the same score, it ranks them together; otherwise each example
    counts by its rank within its half. Half of the examples show less than all of them, so `tune`
    on all repairs at least as often.

    The AURC of every model is compared with the smallest, on the same examples, by `compare_all`.
    Standard errors are over examples, not over trainings: the seed of a training matters too.

    Args:
        models: Name -> path, (logits, labels), `HeldOut`, or a function that reads one, for
            models that do not fit into memory together.
        train: Name -> the same of the training examples, for some or all of the models.
        criterion: "aurc", "accuracy" or "coverage@0.05", by which `best` is picked.
        risks: Levels of coverage at risk.
        kind: Input kind, where the file does not say, as in `open_logits`; with "probs" only
            MSP is tried.
        seed: Random seed of the halves and of the folds of `tune`.

    Raises:
        InputError: Fewer than two models, examples that are not the same, training examples
            among them, or malformed input.

    >>> y = np.tile([0, 1, 2], 60)
    >>> noise = np.random.default_rng(0).normal(size=(2, 180, 3))
    >>> found = pick({"0": (2 * np.eye(3)[y] + noise[0], y), "0.1": (np.eye(3)[y] + noise[1], y)})
    >>> found.best.name, found.not_significantly_worse, found.front
    ('0', (), ('0',))
    """
    (criterion, risks), seed = _checked(criterion, risks), check_seed(seed)
    models = check_named(models, "models", FORM)
    train = check_named(train or {}, "training logits", FORM)
    if len(models) < 2:
        raise InputError(f"expected at least two models to pick from, got {len(models)}")
    if unknown := set(train) - set(models):
        raise InputError(f"expected training logits of {', '.join(models)}, got {min(unknown)!r}")
    all_of = _measure_all(models, train, risks, _Options(kind, seed))
    criteria = dict.fromkeys(("aurc", "accuracy", criterion))
    return Pick(
        models=tuple(all_of.models),
        criterion=criterion,
        n=all_of.models[0].n,
        groups=None if all_of.groups is None else len(np.unique(all_of.groups)),
        risks=risks,
        matched_by="ids" if all_of.matches == {"ids"} else "rows",
        compared={name: _compared(all_of, name) for name in criteria},
        same=dict(_same(all_of.pairs)),
    )


def _same(pairs: Mapping[str, tuple[Array, Array]]) -> Iterator[tuple[str, str]]:
    """Each model whose confidences and losses are those of an earlier one, with that one."""
    first: dict[str, str] = {}
    for name, pair in pairs.items():
        if (other := first.setdefault(digest(*pair), name)) != name:
            yield name, other


def _compared(all_of: _Measured, criterion: str) -> Comparisons:
    """Compare every model with the best by this criterion, on the same examples."""
    best = max(all_of.models, key=key_of(criterion)).name
    measure = _measure_of(criterion)
    return compare_all(all_of.pairs, baseline=best, measure=measure, groups=all_of.groups)


def _measure_of(criterion: str) -> Measure:
    """Return the measure of a criterion; the risk at full coverage is 1 - accuracy."""
    name, _, level = criterion.partition("@")
    if name == "coverage":
        return coverage_at(float(level))
    return risk_at(1.0) if name == "accuracy" else AURC


def mid_ranks(x: ArrayLike) -> Float[Array, " n"]:
    """Return the fraction of values below each, plus half of those equal to it, itself included.

    >>> mid_ranks([3.0, 1.0, 3.0, 9.0])
    array([0.5  , 0.125, 0.5  , 0.875])
    """
    _, code, count = np.unique(check_confidence(x), return_inverse=True, return_counts=True)
    return ((np.cumsum(count) - count / 2) / len(code))[code]


class _Measured(NamedTuple):
    """All models, one row a prediction, in one order."""

    models: list[PickedModel]
    pairs: dict[str, tuple[Array, Array]]  # repaired confidence, loss
    groups: Array | None
    matches: set[str]  # what matched the rows of the others with those of the first


class _Options(NamedTuple):
    """Options of `pick`."""

    kind: str | None
    seed: int


def _measure_all(
    models: Mapping[str, Given],
    train: Mapping[str, Given],
    risks: tuple[float, ...],
    options: _Options,
) -> _Measured:
    """Measure all models, with one file in memory at a time."""
    first, done, pairs, groups, matches = None, [], {}, None, set()
    for name, source in models.items():
        file = _opened(source, name, options.kind)
        if first is None:
            first = _First(file)
        file, match = first.aligned(file)
        matches |= {match} if done else set()
        model, confidence, loss = _measured(name, file, train.get(name), risks, options)
        done.append(model)
        pairs[name] = confidence, loss
        groups = file.groups if groups is None else groups
    return _Measured(done, pairs, groups, matches)


class _First:
    """The first model's rows, which the others are matched with."""

    def __init__(self, file: HeldOut):
        self.rows = examples(file)
        flat = file.predictions()
        names = () if flat.ids is None else (flat.ids,)
        # their order matters only for rows that are equal here and have no ids
        self.order = np.lexsort((*names, fingerprints(flat)))

    def aligned(self, file: HeldOut) -> tuple[HeldOut, str]:
        """Return one row a prediction, in one order for all models, and what matched them."""
        rows, by = matched(self.rows, examples(file))
        return file.rows(rows.confidence["row"]).predictions().rows(self.order), by


def _opened(source: Any, name: str, kind: str | None) -> HeldOut:
    """Read and check a file."""
    if isinstance(source, (str, os.PathLike)):
        source = read(source, kind=kind)
    elif callable(source):
        source = source()
    file = check_file(source, name, kind)
    file.labelled()
    return file


def _checked(criterion: str, risks: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Return the criterion, and the risks with its own among them."""
    risks = check_sequence(risks, "`risks`")
    found = dict.fromkeys(check_fraction(r, "risk", zero=True, one=True) for r in risks)
    name, at, level = str(criterion).partition("@")
    if criterion in ("aurc", "accuracy"):
        return criterion, tuple(found)
    if name != "coverage" or not at:
        raise InputError(
            f"expected `criterion` as aurc, accuracy or coverage@0.05, got {criterion!r}"
        )
    risk = check_fraction(number_of(level), "criterion coverage@risk", zero=True, one=True)
    return f"coverage@{risk!r}", (*found, *([risk] if risk not in found else []))


def _measured(
    name: str, file: HeldOut, train: Given | None, risks: tuple[float, ...], options: _Options
) -> tuple[PickedModel, Float[Array, " N"], Float[Array, " N"]]:
    loss, baseline = file.loss.astype(np.float64), default_scores(file)[0]
    msp = baseline(file.logits)
    confidence, chosen = _repaired(file, msp, options)
    accuracy = _accuracy(loss, file.groups)
    model = PickedModel(
        name=name,
        classes=file.logits.shape[1],
        n=loss.size,
        errors=int(loss.sum()),
        accuracy=accuracy,
        gap=None if train is None else _gap(train, name, file, accuracy, options.kind),
        ece=_ece(stated_probability(msp, file.kind), loss, file.groups),
        msp=_ranking(msp, loss, risks, file.groups),
        repaired=_ranking(confidence, loss, risks, file.groups),
        scores=chosen,
        baseline=baseline_name(baseline),
    )
    return model, confidence, loss


def _ece(stated: Array | None, loss: Array, groups: Array | None) -> Estimate:
    """Return the calibration error of a stated probability; NaN where none is stated."""
    if stated is None:
        return Estimate(float("nan"), float("nan"))
    error = calibration.standard_error(stated, loss, calibration.ece, groups=groups)
    return Estimate(calibration.ece(stated, loss), error)


def _repaired(
    file: HeldOut, msp: Float32[Array, " N"], options: _Options
) -> tuple[Float[Array, " N"], tuple[Score, ...]]:
    """Rank each half by the score chosen on the other, on one scale."""
    numbered = replace(file, ids=np.arange(len(file)))
    halves = list(split_rows(numbered, {"one": 0.5, "other": 0.5}, seed=options.seed).values())
    with naming(file.name):
        chosen = tuple(tune(half, seed=options.seed).score for half in halves[::-1])
    if len(set(chosen)) == 1:
        return (msp if chosen[0] == default_scores(file)[0] else chosen[0](file.logits)), chosen
    out = np.empty(len(file))
    for half, score in zip(halves, chosen):
        out[half.ids] = mid_ranks(score(half.logits))
    return out, chosen


def _ranking(
    confidence: Array, loss: Array, risks: tuple[float, ...], groups: Array | None
) -> Ranking:
    def estimate(measure) -> Estimate:
        error = standard_error(confidence, loss, measure, groups=groups)
        return Estimate(measure.value(confidence, loss), error)

    return Ranking(estimate(AURC), {risk: estimate(coverage_at(risk)) for risk in risks})


def _accuracy(loss: Float[Array, " N"], groups: Array | None) -> Estimate:
    error = np.sqrt(variance_of_mean(loss - loss.mean(), groups))
    return Estimate(float(1 - loss.mean()), float(error))


def _gap(train: Given, name: str, file: HeldOut, accuracy: Estimate, kind: str | None) -> Estimate:
    """Training accuracy minus this one; the two are of different examples."""
    seen = _opened(train, f"{name} (training)", kind).predictions()
    (_, own), (_, others) = seen.logits.shape, file.logits.shape
    if own != others:
        raise InputError(
            f"{seen.name}: expected training logits of {others} classes, as held-out, got {own}"
        )
    if shared := overlap(seen, file):
        raise InputError(f"{seen.name}: expected training logits of other examples, got {shared}")
    trained = _accuracy(seen.loss.astype(np.float64), seen.groups)
    error = np.hypot(trained.error, accuracy.error)
    return Estimate(trained.value - accuracy.value, float(error))
