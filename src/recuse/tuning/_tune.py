"""`tune`: choose the score on the tuning split, or keep MSP.

n = examples, K = classes, m = candidate scores.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import (
    check_groups,
    check_seed,
    check_sequence,
    per_row,
)
from recuse.errors import DataWarning, InputError
from recuse.intervals import AUGRC, AURC, Measure, coverage_at
from recuse.io import HeldOut
from recuse.io._checked import as_held_out
from recuse.io._rows import of_classes
from recuse.present import glance
from recuse.present.tuning import Outcome, TuningFacts, masked_note, sentence
from recuse.scores import (
    SOFTMAX_FAMILY,
    Score,
    find_filler,
    without_filler,
)
from recuse.scores._functions import norms_of
from recuse.scores._score import OF_CONFIDENCES
from recuse.tuning._candidates import (
    columns_of,
    confidences,
    default_candidates,
    possible,
)
from recuse.tuning._class_order import ClassOrder, Pairs, warn_of_class_order
from recuse.tuning._cross_fit import Rows, Trial, best, cross_fit
from recuse.tuning._few_classes import errors_beyond

if TYPE_CHECKING:
    from jaxtyping import Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MSP = Score("msp")
COMBINED = "combination"  # the learned score of confidences
FEWEST_UNITS = 50  # independent rows or groups, below which nothing is compared
FEWEST_OF_EACH = 10  # wrong predictions, and right ones
FEWEST_TO_LEARN = 25  # of each, below which no score is fitted
OBJECTIVES = ("aurc", "augrc", "coverage")


@dataclass(frozen=True, repr=False)
class Tuned(glance.AtAGlance):
    """The score to use, and the evidence for it.

    Of scores that were fixed beforehand, the tuning split is the rows that calibrate.
    """

    score: Score
    # every candidate with the objective on the tuning split; cross-fitted for a learned score
    table: tuple[tuple[Score, float], ...] = field(repr=False)
    facts: TuningFacts  # why this score, as plain data
    digest: str  # of the tuning split
    trials: tuple[Trial, ...] = field(default=(), repr=False)
    filler: float | None = None  # of masked classes, as `scores.find_filler`
    class_order: ClassOrder | None = None  # that the labels follow, if not that of the outputs
    # confidence (N,) of the tuning rows under the score
    seen: Float32[Array, " N"] | None = field(default=None, repr=False, compare=False)

    def confidence(self, logits: ArrayLike) -> Float32[Array, "n ..."]:
        """Return the confidence under the score; a `filler` counts as an impossible class."""
        return self.score(self.masked(logits))

    def masked(self, logits: ArrayLike) -> Array:
        """Return logits in which a `filler` is -inf."""
        return without_filler(logits, self.filler)

    @property
    def outcome(self) -> Outcome:
        """Code of the outcome: "adopted", or why MSP was kept."""
        return self.facts.outcome

    @property
    def reason(self) -> str:
        """The outcome in one sentence, without its full stop."""
        return sentence(self.facts)

    @property
    def baseline(self) -> Score:
        """What the others are compared with: MSP, or the first column of confidences."""
        return self.table[0][0]

    @property
    def repaired(self) -> bool:
        """Whether the baseline was replaced."""
        return self.score != self.baseline

    @property
    def objective(self) -> str:
        """The measure to improve: "aurc", "augrc" or "coverage"."""
        return self.facts.objective

    @property
    def gain(self) -> float:
        """Cross-fitted gain of the best alternative over MSP; 0 if nothing was compared."""
        return self.facts.gain or 0.0

    @property
    def gain_se(self) -> float:
        """Standard error of `gain`; 0 if nothing was compared."""
        return self.facts.gain_se or 0.0

    @property
    def n(self) -> int:
        """Number of predictions in the tuning split."""
        return self.facts.n

    def __str__(self) -> str:
        return self.reason

    def _card(self) -> glance.Card:
        return glance.tuned(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "score": self.score.to_dict(),
            **self.facts._asdict(),
            "trials": [trial.to_dict() for trial in self.trials],
            "digest": self.digest,
        }


@public
def tune(
    logits: ArrayLike | HeldOut,
    labels: ArrayLike | None = None,
    *,
    objective: str = "aurc",
    target_risk: float | None = None,
    candidates: Sequence[Score] | None = None,
    learned: bool = True,
    refine: bool = False,
    groups: ArrayLike | None = None,
    kind: str | None = None,
    seed: int = 0,
) -> Tuned:
    """Choose the score for these rows, or keep MSP where no gain exceeds its standard error.

    The learned score is fitted where at least 25 predictions are wrong and 25 right; without it, or
    of those that are given, the best of `candidates` is chosen. A score always looks better on the
    rows that chose it. So the gain comes from cross-fitting: fit or choose on four fifths of the
    rows, compare with MSP on the fifth, and pool the five paired differences. MSP is replaced if
    the gain exceeds one standard error, by influence functions; of two families that do, the one
    with the larger gain is taken. That is no test at 5 %: where nothing helps, a false switch costs
    little, and a missed repair costs much. What replaces MSP is fitted or chosen on all rows. The
    order of the rows is irrelevant.

    Args:
        logits: Shape (n, K, ...), of data that was not used for training; or a `HeldOut`, which
            has labels, groups and a kind of its own. Where a constant fills in for masked classes
            (`scores.find_filler`), it counts as -inf, with a warning.
        labels: Shape (n, ...), in the order of the outputs; a warning says where they look in
            another.
        objective: Measure to improve: "aurc", "augrc", or "coverage", the largest coverage at
            `target_risk`.
        target_risk: In (0, 1), for the objective "coverage".
        candidates: Scores to try in place of MSP, beside the learned score if there is one. If
            None, `default_candidates` without a learned score, and none beside it.
        learned: Whether to fit a score. It needs the logits as the model gives them.
        refine: Search p continuously around the best p of the candidates.
        groups: Shape (n,) or that of `labels`: rows of one group stay in one fold.
        kind: Input kind: "logits" (default), "binary", a one-column head, "probs" or
            "confidences". Of probabilities only the given `candidates` are tried: their logarithm
            has lost what the norms and the learned score use. Of confidences (n, C), the first
            column stands for MSP, the others are the candidates, and the learned score combines
            them.
        seed: Random seed of the folds.

    Raises:
        InputError: Malformed input.

    References:
        Cattelan & Silva, UAI 2024 (the norm and the fallback); Xia et al., ICLR 2025.
    """
    file, groups = _given(logits, labels, groups, kind)
    z, kind = file.labelled()[0], file.kind
    if (filler := filler_of(file)) is not None:
        z = without_filler(z, filler)
        warn_of_filler("`logits`", z, filler)
    if (order := order_of(file)) is not None:
        warn_of_class_order("`labels`", order)
    measure, seed = measure_of(objective, target_risk), check_seed(seed)
    classes = max(2, int(possible(z).sum()))
    errors = int(file.loss.sum())
    enough = FEWEST_TO_LEARN <= errors <= file.loss.size - FEWEST_TO_LEARN
    (baseline, *candidates), fitted = _tried(file, candidates, learned and enough, classes)
    rows = _rows(z, file, (baseline, *candidates), fitted, groups)
    table = tuple(
        (score, measure.value(c, rows.loss))
        for score, c in zip((baseline, *candidates), rows.confidence)
    )
    facts = TuningFacts(
        "no_candidates",
        objective,
        measure.level if measure.larger_is_better else None,
        msp=table[0][1],
        n=rows.loss.size,
        errors=errors,
        units=int(rows.code.max()) + 1,
        baseline=baseline_name(baseline),
    )
    if obstacle := _obstacle(rows, facts, classes, kind, learned):
        outcome, needed = obstacle
        facts = facts._replace(outcome=outcome, needed=needed)
        kept = _seen(rows, baseline, (baseline,), z)
        return Tuned(baseline, table, facts, file.digest, (), filler, order, kept)
    trials = cross_fit(rows, measure, seed)
    final = _final(rows, candidates, measure, seed, "learned" if of_classes(kind) else COMBINED)
    passed = [trial for trial in trials if trial.helps]
    trial = max(passed or trials, key=lambda t: t.gain)
    score = final[trial.family]
    if refine and score.name == "logit_norm":
        score = _refined(score, z, file.loss, measure)
    facts = facts._replace(
        outcome="adopted" if passed else "not_significant" if trial.gain > 0 else "no_gain",
        alternative=str(score),
        gain=trial.gain,
        gain_se=trial.error,
        beyond=_beyond(file, score),
    )
    table += _cross_fitted(final, trials, facts.msp, measure)
    found = score if passed else baseline
    seen = _seen(rows, found, (baseline, *candidates), z)
    return Tuned(found, table, facts, file.digest, tuple(trials), filler, order, seen)


def _beyond(file: HeldOut, score: Score) -> int | None:
    """Return `errors_beyond` for a score that knows the predicted class."""
    if "class_intercepts" not in score.params:
        return None
    z, y = file.labelled()
    return errors_beyond(file.predicted, y, z.shape[1])


def baseline_name(score: Score) -> str:
    """Return how text calls a baseline."""
    return "MSP" if score == MSP else str(score)


def filler_of(file: HeldOut) -> float | None:
    """Return the filler of masked classes, as `scores.find_filler`; confidences have no classes."""
    return find_filler(file.logits) if of_classes(file.kind) else None


def order_of(file: HeldOut) -> ClassOrder | None:
    """Return the order that the labels follow, if not that of the outputs."""
    z, y = file.labelled()
    pairs = Pairs(z.shape[1] if of_classes(file.kind) else 0)
    pairs(file.predicted, y)
    return pairs.order()


def warn_of_filler(where: str, z: Array, filler: float) -> None:
    """Warn that logits count as those of masked classes; z (n, K, ...) has -inf for them."""
    masked, never = np.isneginf(z.astype(np.float32, copy=False)), ~possible(z)
    some = float((masked.sum(axis=1) > never.sum()).mean())
    note = masked_note(where, filler, np.flatnonzero(never).tolist(), some)
    warnings.warn(note, DataWarning, stacklevel=3)


def _given(
    logits: Any, labels: Any, groups: ArrayLike | None, kind: str | None
) -> tuple[HeldOut, ArrayLike | None]:
    """Return what was given as rows, and their groups."""
    file = as_held_out(logits, labels, kind)
    if isinstance(logits, HeldOut):
        file = file.predictions()
    return file, file.groups if groups is None else groups


def check_objective(objective: str) -> str:
    """Return the name of a measure that a score may be tuned for."""
    if objective not in OBJECTIVES:
        raise InputError(f"expected `objective` among {', '.join(OBJECTIVES)}, got {objective!r}")
    return objective


def measure_of(objective: str, target_risk: float | None) -> Measure:
    """Return the measure that an objective names."""
    if check_objective(objective) == "coverage":
        if target_risk is None:
            raise InputError("expected `target_risk` with the objective coverage, got none")
        return coverage_at(target_risk)
    return {"aurc": AURC, "augrc": AUGRC}[objective]


def _rows(
    z: Array, file: HeldOut, scores: Sequence[Score], learned: bool, groups: ArrayLike | None
) -> Rows:
    """Collect the rows, in an order determined by their values alone."""
    if of_classes(file.kind):
        confidence, features = confidences(z, scores, learned)
    else:
        confidence = np.stack([score(z) for score in scores])
        features = z.astype(np.float64) if learned and z.shape[1] > 1 else None
        features = None if features is None or not np.isfinite(features).all() else features
    loss = file.loss.ravel().astype(np.float64)
    classes = z.shape[1] if of_classes(file.kind) else 0
    predicted = file.predicted.ravel() if classes else None
    first = (loss,) if predicted is None else (predicted, loss)
    keys = (*first, *(() if features is None else features.T), *confidence)
    if groups is None:  # folds must not depend on the order of the rows
        order = _lexsorted(keys)
        code = np.arange(loss.size)
    else:
        code = check_groups(per_row(groups, file.loss), loss.size)
        order = _lexsorted((*keys, code))
        code = code[order]
    if features is not None:
        features = features[order]
        if np.unique(code[np.isfinite(features[:, 0])]).size < FEWEST_UNITS:
            features = None  # hardly a row has two possible classes
    predicted = None if predicted is None else predicted[order]
    return Rows(confidence[:, order], features, predicted, classes, loss[order], code, order)


def _lexsorted(keys: Sequence[Array]) -> Int[Array, " n"]:
    """Return `np.lexsort`, which sorts by every key: here by the others where the last one ties."""
    order = np.argsort(keys[-1], kind="stable")
    last = keys[-1][order]
    equal = last[1:] == last[:-1]
    tied = np.r_[False, equal] | np.r_[equal, False]
    rows = order[tied]
    order[tied] = rows[np.lexsort([key[rows] for key in keys])]
    return order


def _seen(rows: Rows, score: Score, scores: Sequence[Score], z: Array) -> Float32[Array, " N"]:
    """Return the confidence of the tuning rows, in the order of the file."""
    if score.fitted and rows.features is not None:
        found = rows.learned(score)
    elif score in scores:
        found = rows.confidence[scores.index(score)]
    else:
        return score(z).ravel()
    out = np.empty_like(found)
    out[rows.place] = found
    return out


def _tried(
    file: HeldOut, candidates: Sequence[Score] | None, learned: bool, classes: int
) -> tuple[tuple[Score, ...], bool]:
    """Return the baseline and the candidates, and whether a score is learned."""
    if not of_classes(file.kind):
        baseline, *others = columns_of(file.class_names, file.logits.shape[1])
        tried = others if candidates is None else candidates
        return (baseline, *check_scores(tried, "`candidates`", file.kind)), learned
    if file.kind != "probs":
        default = () if learned else default_candidates(classes)
        tried = check_scores(default if candidates is None else candidates, "`candidates`")
        columns = file.logits.shape[1]
        for score in tried:
            if (own := score.params.get("class_intercepts")) and len(own) != columns:
                raise InputError(f"expected a score of {columns} classes, got one of {len(own)}")
        return (MSP, *tried), learned
    given = check_scores(() if candidates is None else candidates, "`candidates`")
    for score in given:
        if score.name not in SOFTMAX_FAMILY:
            family = ", ".join(SOFTMAX_FAMILY)
            raise InputError(f"expected candidates of {family} for probabilities, got {score}")
    return (MSP, *given), False


def check_scores(given: Sequence[Score], what: str, kind: str = "logits") -> tuple[Score, ...]:
    """Check a sequence of scores: `Score` objects, not names, that outputs of this kind allow."""
    scores = check_sequence(given, what)
    for score in scores:
        if not isinstance(score, Score):
            raise InputError(f"expected {what} of recuse.scores.Score, got {score!r}")
        if (score.name in OF_CONFIDENCES) == of_classes(kind):
            held = "classes" if of_classes(kind) else "confidences"
            raise InputError(f"expected {what} for outputs of {held}, got {score}")
    return scores


def _obstacle(
    rows: Rows, facts: TuningFacts, classes: int, kind: str, learned: bool
) -> tuple[Outcome, int | None] | None:
    """Why nothing can be compared, and how many rows it would take; None if all is well."""
    if not rows.families and kind == "probs":
        return "probabilities", None
    if not rows.families and not of_classes(kind):
        return "one_confidence", None
    if not rows.families and not learned:
        return "two_classes" if classes == 2 else "no_candidates", None
    needed = FEWEST_OF_EACH if len(rows.confidence) > 1 else FEWEST_TO_LEARN
    if not needed <= facts.errors <= facts.n - needed:
        return "few_errors", needed
    if facts.units < FEWEST_UNITS:
        return "few_rows", FEWEST_UNITS
    return None if rows.families else ("no_candidates", None)


def _final(
    rows: Rows, candidates: Sequence[Score], measure: Measure, seed: int, name: str
) -> dict[str, Score]:
    """Choose or fit a score of each family on all rows."""
    out = {}
    if "candidates" in rows.families:
        out["candidates"] = candidates[best(rows, measure) - 1]
    if rows.features is not None:
        out["learned"] = rows.learn(seed, name)
    return out


def _cross_fitted(
    final: dict[str, Score], trials: Sequence[Trial], msp: float, measure: Measure
) -> tuple[tuple[Score, float], ...]:
    """The learned score with its cross-fitted objective, not that on the rows it was fitted to."""
    sign = -1 if measure.larger_is_better else 1
    return tuple((final["learned"], msp - sign * t.gain) for t in trials if t.family == "learned")


def _refined(score: Score, z: Array, wrong: Array, measure: Measure) -> Score:
    """Search the best p between the neighbors of this one, on all rows, after the decision."""
    from scipy.optimize import minimize_scalar

    p = float(score.params.get("p", 4))
    center = bool(score.params.get("center", True))
    if not np.isfinite(p):
        return score
    loss = wrong.ravel().astype(np.float64)
    sign = -1 if measure.larger_is_better else 1

    def value(p: float) -> float:
        return sign * measure.value(norms_of(z, (p,), center).ravel(), loss)

    found = minimize_scalar(value, bounds=(max(1.0, p - 1), p + 1), method="bounded")
    better = Score("logit_norm", {"p": round(float(found.x), 4), "center": center})
    return better if value(better.params["p"]) < value(p) else score
