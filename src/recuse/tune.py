"""Repair: choose the confidence score on the tune split, or keep MSP and say why.

n = examples, K = classes, m = candidate scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._check import InputError, check_groups, check_labels, check_logits
from recuse._files import digest
from recuse._sweep import ORDERS, sweep
from recuse.curves import aurc
from recuse.intervals import influence, variance_of_mean
from recuse.scores import Score, logit_norms, predict

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MSP = Score("msp")
SMALLEST_SWEPT = 1 << 20  # logits; fewer are not worth compiling for
FOLDS = 5
Z_SWITCH = 1.645  # one-sided 5 % of a normal
T_SWITCH = 2.132  # one-sided 5 % of Student's t on FOLDS - 1 degrees of freedom
FEWEST_UNITS = 50  # independent rows or groups, below which no repair is judged
FEWEST_OF_EACH = 10  # wrong predictions, and right ones


@dataclass(frozen=True)
class Tuned:
    """The score to use, and the evidence for it."""

    score: Score
    reason: str  # one sentence, for people
    # every candidate with its AURC on the tune split
    table: tuple[tuple[Score, float], ...] = field(repr=False)
    gain: float  # cross-fitted: AURC of MSP minus that of the best candidate, > 0 is better
    gain_se: float
    n: int
    digest: str  # of the tune split

    def __str__(self) -> str:
        return self.reason

    @property
    def repaired(self) -> bool:
        """Whether MSP was replaced."""
        return self.score != MSP

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "score": self.score.to_dict(),
            "reason": self.reason,
            "gain": self.gain,
            "gain_se": self.gain_se,
            "n": self.n,
            "digest": self.digest,
        }


def default_candidates(num_classes: int) -> tuple[Score, ...]:
    """Norms of order 1..10 and infinity, centred or not; none for two classes.

    With two classes a centred norm is constant and an uncentred one depends on a shift
    that training does not determine.

    >>> len(default_candidates(10)), default_candidates(2)
    (22, ())
    """
    if num_classes == 2:
        return ()
    return tuple(
        Score("logit_norm", {"p": p, "center": center}) for center in (True, False) for p in ORDERS
    )


def tune(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    candidates: Sequence[Score] | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Tuned:
    """Choose the score with the smallest AURC, and use it only if it really beats MSP.

    The best of many candidates always looks better on the rows that chose it. So the gain
    is judged by cross-fitting: choose on four fifths of the rows, compare with MSP on the
    fifth, pool the five paired differences, and switch if they exceed both 1.645 standard
    errors by influence functions and 2.132 by their spread over the folds (one-sided 5 %
    of each). The score is then chosen on all rows. The order of the rows is irrelevant.

    Args:
        logits: Shape (n, K, ...), of data that was not used for training.
        labels: Shape (n, ...).
        candidates: Scores to try in place of MSP; `default_candidates` if None.
        groups: Shape (n,) or that of `labels`: rows of one group stay in one fold.
        seed: Of the folds.

    Raises:
        InputError: Malformed input.

    References:
        Cattelan & Silva, UAI 2024 (the norm and the fallback); Xia et al., ICLR 2025.
    """
    z = check_logits(logits)
    y = check_labels(labels, z)
    if candidates is None:
        candidates = default_candidates(z.shape[1])
    fallback = _reason_not_to_try(z, y, candidates)
    confidence = confidences(z, (MSP, *candidates))
    loss = (predict(z) != y).ravel().astype(np.float64)
    code = np.arange(loss.size) if groups is None else check_groups(_per_row(groups, y), loss.size)
    if groups is None:  # folds must not depend on the order of the rows
        code[np.lexsort((loss, *confidence))] = np.arange(loss.size)
    order = np.lexsort((loss, *confidence, code))
    confidence, loss, code = confidence[:, order], loss[order], code[order]

    areas = [aurc(c, loss) for c in confidence]
    table = tuple(zip((MSP, *candidates), areas))
    if fallback is None and code.max() + 1 < FEWEST_UNITS:
        fallback = f"MSP: too few independent rows to judge a repair ({code.max() + 1})"
    if fallback is not None:
        return Tuned(MSP, fallback, table, 0.0, 0.0, loss.size, digest(z, y))
    gain, se, spread = _crossfitted_gain(confidence, loss, code, seed)
    best = candidates[int(np.argmin(areas[1:]))]
    helps = se > 0 and gain > max(Z_SWITCH * se, T_SWITCH * spread)
    reason = _verdict(best, gain / areas[0], se / areas[0], helps)
    return Tuned(best if helps else MSP, reason, table, gain, se, loss.size, digest(z, y))


def confidences(logits: Array, scores: Sequence[Score]) -> Float32[Array, "m N"]:
    """Confidence of every prediction under each score.

    Few logits go the float64 path that decides; many are swept in float32, which differs by a
    few roundings, to choose among the scores.
    """
    out = np.empty((len(scores), logits.size // logits.shape[1]), np.float32)
    found = _swept(logits, scores)
    for i, score in enumerate(scores):
        if score in found:
            out[i] = found[score].ravel()
    for center in (True, False):
        rest = {i: p for i, s in enumerate(scores) if (p := _order(s, center)) and s not in found}
        if rest:
            norms = logit_norms(logits, ps=rest.values(), center=center)
            out[list(rest)] = norms.reshape(len(rest), -1)
    for i, score in enumerate(scores):
        if score not in found and score.name != "logit_norm":
            out[i] = score(logits).ravel()
    return out


def _swept(logits: Array, scores: Sequence[Score]) -> dict[Score, Array]:
    """The scores that one float32 pass computes; none for few logits."""
    if logits.size < SMALLEST_SWEPT or np.isneginf(np.float32(logits.min())):
        return {}
    wanted = {c: any(_order(s, c) in ORDERS for s in scores) for c in (True, False)}
    found = sweep(logits, softmax=("msp",), centered=wanted[True], uncentered=wanted[False])
    table = {MSP: found.softmax["msp"]}
    for center, norms in ((True, found.centered), (False, found.uncentered)):
        table |= {Score("logit_norm", {"p": p, "center": center}): v for p, v in norms.items()}
    return {score: table[score] for score in scores if score in table}


def _order(score: Score, center: bool) -> float | None:
    """p, if this is a logit norm that is so centred."""
    if score.name != "logit_norm" or bool(score.params.get("center", True)) != center:
        return None
    return score.params.get("p", 4)


def _reason_not_to_try(z: Array, y: Array, candidates: Sequence[Score]) -> str | None:
    if z.shape[1] == 2 and not candidates:
        return "MSP: with two classes no norm is tried (centred it is constant)"
    if not candidates:
        return "MSP: no candidate to compare with"
    errors = int((predict(z) != y).sum())
    if not FEWEST_OF_EACH <= errors <= y.size - FEWEST_OF_EACH:
        return f"MSP: too few to judge a repair: {errors} of {y.size} tune predictions are wrong"
    return None


def _verdict(best: Score, gain: float, se: float, helps: bool) -> str:
    """The outcome in words; gain and its standard error relative to the AURC of MSP."""
    size = f"{100 * abs(gain):.1f} % +- {100 * se:.1f} %, cross-fitted on the tune split"
    if helps:
        return f"{best}: lowers AURC by {size}"
    if gain > 0:
        return f"MSP: a gain is not shown; the best candidate, {best}, lowers AURC by {size}"
    return f"MSP: no candidate helps; the best, {best}, raises AURC by {size}"


def _per_row(groups: ArrayLike, labels: Array) -> Array:
    """Groups of rows (n,) spread over the trailing axes of the labels."""
    g = np.asarray(groups)
    if g.shape == labels.shape:
        return g.ravel()
    if g.shape != labels.shape[:1]:
        raise InputError(f"expected `groups` of shape {labels.shape[:1]}, got {g.shape}")
    return np.broadcast_to(g.reshape(-1, *(1,) * (labels.ndim - 1)), labels.shape).ravel()


def _crossfitted_gain(
    confidence: Float[Array, "m n"], loss: Float[Array, " n"], code: Array, seed: int
) -> tuple[float, float, float]:
    """AURC of MSP (row 0) minus that of the candidate chosen on the other folds; pooled.

    With its standard error twice: by influence functions, and by the spread over the folds.
    """
    clusters = int(code.max()) + 1
    fold = np.random.default_rng(seed).permutation(clusters)[code] % FOLDS
    gains, variance = [], 0.0
    for f in range(FOLDS):
        held, rest = fold == f, fold != f
        best = 1 + int(np.argmin([aurc(c[rest], loss[rest]) for c in confidence[1:]]))
        share = held.mean()
        a, b = confidence[0, held], confidence[best, held]
        l = loss[held]
        gains.append(share * (aurc(a, l) - aurc(b, l)))
        variance += share**2 * variance_of_mean(influence(a, l) - influence(b, l), code[held])
    spread = np.sqrt(FOLDS * np.var(gains, ddof=1))
    return float(np.sum(gains)), float(np.sqrt(variance)), float(spread)
