"""Choose the score on the tune split, and use it only if it really beats MSP.

n = examples, K = classes, m = candidate scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import (
    check_groups,
    check_labels,
    check_logits,
    check_seed,
    check_sequence,
    per_row,
)
from recuse._internal.files import digest
from recuse.errors import InputError
from recuse.intervals import AUGRC, AURC, Measure, coverage_at
from recuse.scores import SOFTMAX_FAMILY, Score, logit_norm, predict
from recuse.tuning._candidates import confidences, default_candidates, features_of
from recuse.tuning._judge import Rows, Trial, best, judge, shown
from recuse.tuning._learn import learn
from recuse.tuning._tuned import MSP, Tuned

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

FEWEST_UNITS = 50  # independent rows or groups, below which no repair is judged
FEWEST_OF_EACH = 10  # wrong predictions, and right ones
KINDS = ("logits", "binary", "probs")  # of which only the last is another thing here
OBJECTIVES = ("aurc", "augrc", "coverage")


def tune(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    objective: str = "aurc",
    target_risk: float | None = None,
    candidates: Sequence[Score] | None = None,
    learned: bool = True,
    refine: bool = False,
    groups: ArrayLike | None = None,
    kind: str = "logits",
    seed: int = 0,
) -> Tuned:
    """Choose the best score, and use it only if it really beats MSP.

    Two families are tried: `candidates`, of which the best is chosen, and the learned score,
    which is fitted. The best of many always looks better on the rows that chose it. So the gain
    is judged by cross-fitting: choose, or fit, on four fifths of the rows, compare with MSP on
    the fifth, pool the five paired differences. The learned score is shown to help if they exceed
    both 1.645 standard errors by influence functions and 2.132 by their spread over the folds
    (one-sided 5 % of each). If it is, so may the candidates be, and the family with the larger
    gain is used; if not, they must exceed 2.576 (0.5 %). Without a learned score they have the
    5 %. The winner is chosen, or fitted, on all rows. The order of the rows is irrelevant.

    Args:
        logits: Shape (n, K, ...), of data that was not used for training.
        labels: Shape (n, ...).
        objective: What to improve: "aurc", "augrc", or "coverage", the largest at `target_risk`.
        target_risk: In (0, 1), for the objective "coverage".
        candidates: Scores to try in place of MSP; `default_candidates` if None.
        learned: Whether to try the learned score; it needs logits as the model gives them.
        refine: Search p continuously, around the p that was chosen among the candidates.
        groups: Shape (n,) or that of `labels`: rows of one group stay in one fold.
        kind: "probs" where the logits are logarithms of probabilities: these have lost what the
            norms and the learned score use, and only `candidates` that are given are tried.
        seed: Of the folds.

    Raises:
        InputError: Malformed input.

    References:
        Cattelan & Silva, UAI 2024 (the norm and the fallback); Xia et al., ICLR 2025.
    """
    z = check_logits(logits)
    y = check_labels(labels, z)
    measure, seed = measure_of(objective, target_risk), check_seed(seed)
    candidates, learned = _tried(candidates, learned, kind, z.shape[1])
    rows = _rows(z, y, candidates, learned, groups)
    table = tuple(
        (score, measure.value(c, rows.loss))
        for score, c in zip((MSP, *candidates), rows.confidence)
    )
    tuned = Tuned(MSP, "", table, 0.0, 0.0, rows.loss.size, digest(z, y), str(measure))
    if why := _reason_not_to_try(rows, z.shape[1], kind):
        return replace(tuned, reason=f"MSP: {why}")
    trials = judge(rows, measure, seed)
    final = _final(rows, candidates, measure, seed)
    passed = shown(trials)
    trial = max(passed or trials, key=lambda t: t.gain)
    score = final[trial.family]
    if refine and score.name == "logit_norm":
        score = _refined(score, z, y, measure)
    return replace(
        tuned,
        score=score if passed else MSP,
        reason=_verdict(score, trial, bool(passed), table[0][1], measure),
        table=table + _judged(final, trials, table[0][1], measure),
        gain=trial.gain,
        gain_se=trial.se,
        trials=tuple(trials),
    )


def measure_of(objective: str, target_risk: float | None) -> Measure:
    """What an objective is called by."""
    if objective not in OBJECTIVES:
        raise InputError(f"expected `objective` among {', '.join(OBJECTIVES)}, got {objective!r}")
    if objective == "coverage":
        if target_risk is None:
            raise InputError("expected `target_risk` with the objective coverage, got none")
        return coverage_at(target_risk)
    return {"aurc": AURC, "augrc": AUGRC}[objective]


def _rows(
    z: Array, y: Array, candidates: Sequence[Score], learned: bool, groups: ArrayLike | None
) -> Rows:
    """The rows in an order that their values decide."""
    confidence = confidences(z, (MSP, *candidates))
    features = features_of(z) if learned and np.isfinite(np.float32(z.min())) else None
    loss = (predict(z) != y).ravel().astype(np.float64)
    keys = (loss, *(() if features is None else features.T), *confidence)
    if groups is None:  # folds must not depend on the order of the rows
        order = np.lexsort(keys)
        code = np.arange(loss.size)
    else:
        code = check_groups(per_row(groups, y), loss.size)
        order = np.lexsort((*keys, code))
        code = code[order]
    return Rows(
        confidence[:, order], None if features is None else features[order], loss[order], code
    )


def _tried(
    candidates: Sequence[Score] | None, learned: bool, kind: str, classes: int
) -> tuple[tuple[Score, ...], bool]:
    """The candidates, and whether a score is learned."""
    if kind not in KINDS:
        raise InputError(f"expected `kind` among {', '.join(KINDS)}, got {kind!r}")
    if kind != "probs":
        tried = default_candidates(classes) if candidates is None else candidates
        return check_scores(tried, "`candidates`"), learned
    given = check_scores(() if candidates is None else candidates, "`candidates`")
    for score in given:
        if score.name not in SOFTMAX_FAMILY:
            family = ", ".join(SOFTMAX_FAMILY)
            raise InputError(f"expected candidates of {family} for probabilities, got {score}")
    return given, False


def check_scores(given: Sequence[Score], what: str) -> tuple[Score, ...]:
    """Several scores, none by its mere name."""
    scores = check_sequence(given, what)
    for score in scores:
        if not isinstance(score, Score):
            raise InputError(f"expected {what} of recuse.scores.Score, got {score!r}")
    return scores


def _reason_not_to_try(rows: Rows, classes: int, kind: str) -> str | None:
    errors, n = int(rows.loss.sum()), rows.loss.size
    units = int(rows.code.max()) + 1
    if not rows.families and kind == "probs":
        return "probabilities have lost what other scores use; with logits they can be tried"
    if not rows.families and classes == 2:
        return "with two classes no norm is tried (centred it is constant)"
    if not rows.families:
        return "no candidate to compare with"
    if not FEWEST_OF_EACH <= errors <= n - FEWEST_OF_EACH:
        return f"too few to judge a repair: {errors} of {n} tune predictions are wrong"
    if units < FEWEST_UNITS:
        return f"too few independent rows to judge a repair ({units})"
    return None


def _final(
    rows: Rows, candidates: Sequence[Score], measure: Measure, seed: int
) -> dict[str, Score]:
    """The choice of each family on all rows."""
    out = {}
    if "candidates" in rows.families:
        out["candidates"] = candidates[best(rows, measure) - 1]
    if rows.features is not None:
        out["learned"] = learn(rows.features, rows.loss == 0, rows.code, seed)
    return out


def _judged(
    final: dict[str, Score], trials: Sequence[Trial], msp: float, measure: Measure
) -> tuple[tuple[Score, float], ...]:
    """The learned score in the table: with what cross-fitting found, not what it was fitted to."""
    sign = -1 if measure.larger_is_better else 1
    return tuple((final["learned"], msp - sign * t.gain) for t in trials if t.family == "learned")


def _refined(score: Score, z: Array, y: Array, measure: Measure) -> Score:
    """The best p between the neighbours of this one; on all rows, after the decision."""
    from scipy.optimize import minimize_scalar

    p = float(score.params.get("p", 4))
    center = bool(score.params.get("center", True))
    if not np.isfinite(p):
        return score
    loss = (predict(z) != y).ravel().astype(np.float64)
    sign = -1 if measure.larger_is_better else 1

    def value(p: float) -> float:
        return sign * measure.value(logit_norm(z, p=p, center=center).ravel(), loss)

    found = minimize_scalar(value, bounds=(max(1.0, p - 1), p + 1), method="bounded")
    better = Score("logit_norm", {"p": round(float(found.x), 4), "center": center})
    return better if value(better.params["p"]) < value(p) else score


def _verdict(score: Score, trial: Trial, adopted: bool, msp: float, measure: Measure) -> str:
    """The outcome in words; of areas relative to that of MSP."""
    larger = measure.larger_is_better
    unit = 1.0 if larger else msp
    points = "points" if larger else "%"
    size = (
        f"{_name(measure)} by {100 * abs(trial.gain) / unit:.1f} {points} "
        f"+- {100 * trial.error / unit:.1f}{'' if larger else ' %'}, cross-fitted on the tune split"
    )
    better, worse = ("raises", "lowers") if larger else ("lowers", "raises")
    if adopted:
        return f"{score}: {better} {size}"
    if trial.gain > 0:
        return f"MSP: a gain is not shown; {_called(score)} {better} {size}"
    return f"MSP: no candidate helps; {_called(score)} {worse} {size}"


def _called(score: Score) -> str:
    """The best of what was tried, in a sentence."""
    return "the learned score" if score.fitted else f"the best candidate, {score},"


def _name(measure: Measure) -> str:
    if measure.larger_is_better:
        return f"coverage at {100 * measure.level:g} % risk"
    return measure.name.upper()
