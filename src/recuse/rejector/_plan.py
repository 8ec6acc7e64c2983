"""`plan`: how many rows to label before a guarantee can be had, and how much it will accept.

n = labelled rows, or groups by one row of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_delta, check_fraction, check_seed, is_number
from recuse.bounds import smallest_error_free_sample
from recuse.errors import InputError
from recuse.present import glance
from recuse.present import plan as words
from recuse.present.numbers import listed
from recuse.rejector._cut import ENOUGH, TUNING, tuning_for_risk
from recuse.rejector._prepare import (
    REFUSE,
    Data,
    check_repeated_ids,
    each_id_once,
    prepare_all,
    whole,
)
from recuse.selectors._grid import Counts, counts, thresholds_between
from recuse.selectors._guarantee import GROUPS, ROWS
from recuse.selectors._labels import Law, Logistic, law_of, logistic, needed, reached
from recuse.selectors._methods import ALIKE
from recuse.selectors._select import hopeless
from recuse.tuning._fixed import SHARES

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy import ndarray as Array

GRID = np.unique(np.r_[np.geomspace(0.001, 0.1, 100), np.linspace(0.1, 1, 361)])  # coverages
SCALES = (1000, 100)  # of an AURC elsewhere
ROUNDING = 1e-9  # relative: 1 - 0.9 is not 0.1
RESAMPLES = 100  # of a file, to say how far it can be trusted
OUTSIDE = 10  # of them name fewer rows than the interval, and as many name more
FEW_ERRORS = 3  # of a file: with fewer, it says too little of the risk
NEAR = 0.5, 1.0, 2.0  # targets for a number of rows, in units of that which was asked for


@dataclass(frozen=True, repr=False)
class LabelPlan(glance.AtAGlance):
    """The rows to label and the coverage to expect; where `feasible` is False, why there is none.

    With so many rows `fit` finds a threshold in about four draws of five.
    """

    target_risk: float
    delta: float
    accuracy: float  # that is assumed
    aurc: float  # likewise, as a fraction
    rows: int | None  # to label, or groups; None: no number is enough
    coverage: float | None  # to expect of them, in the median draw
    more: tuple[tuple[int, float], ...]  # (rows, coverage) of two and five times as many
    largest_coverage: float  # whose risk is at most the target: no number of rows accepts more
    error_free_rows: int  # that must be accepted if none of them is wrong
    tuning: float = 0.0  # fraction of the rows that `fit` takes to choose the score
    unit: str = ROWS  # or "groups"
    score: str | None = None  # whose AURC it is; None: two numbers were given in place of a file
    labelled: int | None = None  # rows of the file, or groups
    errors: int | None = None  # among them
    low: int | None = None  # rows; of 100 resamples of a file, 10 need fewer
    high: int | None = None  # rows if the risk levels off; of 100 resamples, 10 need more
    cause: str | None = None  # of no rows: "few_errors" in the file, or its risk is "above"
    asked: int | None = None  # rows whose coverage was asked for
    # of these: (target, coverage if the risk levels off, coverage)
    expected: tuple[tuple[float, float, float], ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether some number of rows is enough."""
        return self.rows is not None

    @property
    def accepts(self) -> bool:
        """Whether the rows that were asked for accept anything at the target."""
        return any(high > 0 for target, _, high in self.expected if target == self.target_risk)

    @property
    def reason(self) -> str:
        """The plan in at most three lines."""
        return words.label_plan(self)

    def __str__(self) -> str:
        return self.reason

    def _card(self) -> glance.Card:
        return glance.label_plan(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        more = [{"rows": rows, "coverage": coverage} for rows, coverage in self.more]
        return {"feasible": self.feasible, **asdict(self), "more": more, "reason": self.reason}


class OneFile(NamedTuple):
    """How `fit` tests a score on one file."""

    target: float
    delta: float
    share: float  # of delta below 10,000 rows; 1: there is no other score

    def rows(self, law: Law | Logistic) -> int | None:
        """Return the rows of a file of which some threshold passes in four draws of five."""
        few = needed(law, self.target, self.share * self.delta)
        if few is None or not self._tuning(few):
            return few
        many = needed(law, self.target, ALIKE * self.delta)
        return None if many is None else max(ENOUGH, int(np.ceil(many / (1 - TUNING))))

    def limits(self, law: Law) -> tuple[int | None, int | None]:
        """Return the rows, and those if the risk levels off: no fewer."""
        if (low := self.rows(law)) is None:
            return None, None
        high = self.rows(logistic(law))
        return low, None if high is None else max(low, high)

    def coverage(self, law: Law | Logistic, rows: int) -> float:
        """Return the coverage to expect of a file of so many rows: about the median."""
        tuning = self._tuning(rows)
        delta = self.delta if tuning else self.share * self.delta
        return reached(law, int(rows * (1 - tuning)), self.target, ALIKE * delta)

    def _tuning(self, rows: int) -> float:
        return tuning_for_risk(rows, alone=self.share == 1)

    def expect(self, law: Law, rows: int) -> Iterator[tuple[float, float, float]]:
        """Yield what so many rows accept, at this target and at two near it."""
        for times in NEAR:
            if (target := times * self.target) < 1:
                use = self._replace(target=target)
                covered = use.coverage(law, rows)
                yield target, min(use.coverage(logistic(law), rows), covered), covered

    def plan(self, law: Law, asked: int | None, **of_file: Any) -> LabelPlan:
        """Return the plan for a risk that follows this law."""
        rows = None if of_file.get("cause") else self.rows(law)
        if asked is not None and not of_file.get("cause"):
            of_file |= {"asked": asked, "expected": tuple(self.expect(law, asked))}
        more = [] if rows is None else [(k * rows, self.coverage(law, k * rows)) for k in (1, 2, 5)]
        return LabelPlan(
            self.target,
            self.delta,
            accuracy=1 - law.error,
            aurc=float(law.aurc),
            rows=rows,
            coverage=more[0][1] if more else None,
            more=tuple(more[1:]),
            largest_coverage=law.within(self.target),
            error_free_rows=smallest_error_free_sample(self.target, self.share * self.delta),
            tuning=0.0 if rows is None else self._tuning(rows),
            **of_file,
        )


@public
def plan(
    held_out: Data | None = None,
    *,
    accuracy: float | None = None,
    aurc: float | None = None,
    target_risk: float,
    delta: float = 0.05,
    kind: str | None = None,
    rows: int | None = None,
    seed: int = 0,
    repeated_ids: str = REFUSE,
) -> LabelPlan:
    r"""How many rows to label, so that `fit` finds a threshold, and how much it will accept.

    From two numbers of a model, or from a small labelled file. Between them the risk is assumed to
    be a power law of the coverage, $r(c) = e \, c^{e / a - 1}$ with the error rate $e$ and the AURC
    $a$, which is the area under it. `high` assumes that it levels off among the most confident
    predictions, as that of a hard task does: the log-odds of an error rise evenly with the rank.

    Args:
        held_out: A few rows, as in `fit`: accuracy and AURC come from them, under the score of
            those fixed beforehand that needs the fewest rows.
        accuracy: Instead: in (0, 1).
        aurc: And the AURC, as the fraction that `recuse.aurc` returns.
        target_risk: The largest error rate of accepted predictions, in (0, 1).
        delta: The probability that the guarantee fails, in (0, 0.5).
        kind: Input kind of the outputs, as in `fit`.
        rows: Instead of how many to label: how much so many accept, at the target, at half of it
            and at twice.
        seed: Random seed of the resamples, and of the rows taken from groups.
        repeated_ids: "refuse" rows of one id, or "keep_one", as in `fit`.

    Raises:
        InputError: Malformed input, neither a file nor both numbers, or an AURC that no ranking
            of that accuracy has.

    References:
        `docs/how-to/plan.md` compares plans with simulated needs.

    >>> found = plan(accuracy=0.9, aurc=0.02, target_risk=0.02)
    >>> 500 < found.rows < 1000, 0.2 < found.coverage < found.largest_coverage < 0.7
    (True, True)
    >>> plan(accuracy=0.9, aurc=0.1, target_risk=0.02).feasible
    False
    """
    target, delta = check_fraction(target_risk, "target_risk"), check_delta(delta)
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 1):
        raise InputError(f"expected `rows` as an integer larger than 0, got {rows!r}")
    numbers = {"accuracy": accuracy, "aurc": aurc}
    given = [f"`{name}`" for name, number in numbers.items() if number is not None]
    if held_out is not None and not given:
        return _of_file(held_out, target, delta, kind, rows, check_seed(seed), repeated_ids)
    if held_out is not None or len(given) < len(numbers):
        got = listed(["a file"] * (held_out is not None) + given)
        raise InputError(f"expected a held-out file, or `accuracy` and `aurc`, got {got}")
    if kind is not None:
        raise InputError(f"expected a file where `kind` is given, got {kind!r} and none")
    check_seed(seed)
    check_repeated_ids(repeated_ids)
    use, law = OneFile(target, delta, SHARES[0]), _law(accuracy, aurc)
    low, high = use.limits(law)
    return use.plan(law, rows, low=low, high=high)


def _law(accuracy: Any, aurc: Any) -> Law:
    """Return the law of two numbers, that some ranking has."""
    error = 1 - check_fraction(accuracy, "accuracy")
    if not is_number(aurc):
        raise InputError(f"expected `aurc` as a number in (0, 1), got {aurc!r}")
    least = error + (1 - error) * np.log1p(-error)

    def possible(area: float) -> bool:
        return least * (1 - ROUNDING) <= area <= error * (1 + ROUNDING)

    if not possible(aurc):
        scale = next((scale for scale in SCALES if possible(aurc / scale)), None)
        hint = "" if scale is None else f": a fraction, {aurc / scale:g}, not times {scale:,}"
        raise InputError(
            f"expected `aurc` from {least:.4g}, a perfect ranking of predictions of this accuracy, "
            f"to {error:.4g}, a random one, got {aurc:g}{hint}"
        )
    return Law(error, min(aurc, error), GRID)


def _of_file(
    data: Data,
    target: float,
    delta: float,
    kind: str | None,
    rows: int | None,
    seed: int,
    repeated_ids: str,
) -> LabelPlan:
    """Return the plan under the score that needs the fewest rows."""
    file = each_id_once(whole(data, "held_out", kind), repeated_ids)
    found = []
    for splits in prepare_all(file, subgroups=None, seed=seed, model=None):
        use = OneFile(target, delta, splits.share)
        seen = _counts(splits.held.confidence, splits.held.wrong)
        above = hopeless(seen, target, splits.share * delta)
        law = law_of(seen, splits.held.wrong.size)
        fewest = np.inf if above else use.rows(law) or np.inf
        found.append((fewest, above, use, law, splits))
    _, above, use, law, splits = min(found, key=lambda one: (one[0], not one[1]))
    confidence, wrong, _ = splits.held
    cause = "few_errors" if wrong.sum() < FEW_ERRORS else "above" if above else None
    low, high = (None, None) if cause else _interval(use, confidence, wrong, seed)
    return use.plan(
        law,
        rows,
        cause=cause,
        unit=ROWS if splits.calibrate.groups is None else GROUPS,
        score=str(splits.tuned.score),
        labelled=wrong.size,
        errors=int(wrong.sum()),
        low=low,
        high=high,
    )


def law_of_rows(confidence: Float[Array, " n"], wrong: Bool[Array, " n"]) -> Law:
    """The law with the error rate and the AURC of labelled rows."""
    return law_of(_counts(confidence, wrong), wrong.size)


def _counts(confidence: Float[Array, " n"], wrong: Bool[Array, " n"]) -> Counts:
    """Accepted rows and errors at each threshold."""
    c = confidence.astype(np.float32)  # as in a fit
    return counts(c, wrong, thresholds_between(c))


def _interval(
    use: OneFile, confidence: Float[Array, " n"], wrong: Bool[Array, " n"], seed: int
) -> Iterator[int | None]:
    """Yield the rows that all but 10 of 100 resamples need at least, and at most."""
    rng = np.random.default_rng(seed)
    named = []
    for _ in range(RESAMPLES):
        rows = rng.integers(wrong.size, size=wrong.size)
        law = law_of_rows(confidence[rows], wrong[rows])
        named.append([end or np.inf for end in use.limits(law)])
    low, high = np.sort(named, axis=0).T
    for rows in (low[OUTSIDE], high[-1 - OUTSIDE]):
        yield int(rows) if rows < np.inf else None
