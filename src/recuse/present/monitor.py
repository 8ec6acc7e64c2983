"""The verdict of a monitor in words, and its table.

`v` is a `recuse.monitor.Verdict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recuse.present.numbers import confidence_level, count, percent

TESTS = ("test", "e-value", "alarm at")
NAMES = {
    "risk": "the error rate of accepted predictions is above the target",
    "more accepted": "more predictions are accepted than on the calibration split",
    "fewer accepted": "fewer predictions are accepted than on the calibration split",
}
SHIFTED = "so the inputs have changed and the guarantee does not cover them."
ADVICE = {
    "risk": "The error rate of accepted predictions is above the target. Stop using accepted "
    "predictions without review. Look at the newest errors and at what changed in the inputs. "
    "Then fit a new rejector on data like today's and start a new state.",
    "more accepted": "More predictions are accepted than for data like the calibration split, "
    f"{SHIFTED} Have a sample of newly accepted predictions labelled at once. If the inputs will "
    "stay like this, fit a new rejector on them.",
    "fewer accepted": "Fewer predictions are accepted than for data like the calibration split, "
    f"{SHIFTED} Check how the inputs are made and prepared. If they will stay like this, fit a "
    "new rejector on them.",
}
NO_RISK = "risk is undefined: no label is known"
ONE_OF_EACH = (
    "rows of one group depend on each other: log one row of each group, or most alarms may be false"
)
POOLED = {"class": "predicted class", "subgroup": "subgroup"}


def sentence(alarms: Sequence[str]) -> str:
    """Return the verdict in one line."""
    return f"Alarm: {', '.join(alarms)}." if alarms else "No alarm."


def advice(alarms: Sequence[str]) -> tuple[str, ...]:
    """Return what to do about each alarm."""
    return tuple(ADVICE[name] for name in alarms)


def scope(*, void: bool, by: str) -> str | None:
    """Return what the tests do not cover, or None."""
    found = []
    if void:
        found.append(
            "The rejector guarantees nothing, since its tuning and calibration splits share "
            "examples. Its target and its acceptance rate are tested all the same."
        )
    if by in POOLED:
        found.append(
            "The test is about the error rate of all accepted predictions together: that of a "
            f"single {POOLED[by]} may be above the target without an alarm."
        )
    return " ".join(found) or None


def news(name: str, update: Any) -> str:
    """Return what a log added."""
    return (
        f"{name}: {count(update.rows)} rows, {count(update.predictions)} new predictions, "
        f"{count(update.labels)} new labels of accepted ones."
    )


def summary(v: Any) -> list[str]:
    """Return the verdict, counts and intervals as lines."""
    low, high = (percent(x, 1) for x in v.calibrate)
    lower, upper = (percent(x, 1) for x in v.interval)
    lines = [
        str(v),
        f"Accepted {count(v.accepted)} of {count(v.n)} predictions ({percent(v.coverage, 1)}); "
        f"expected for data like the calibration split: {low} to {high}.",
        f"{count(v.errors)} of {count(v.labelled)} labelled predictions are wrong "
        f"({percent(v.risk, 1)}). The risk is between {lower} and {upper} with "
        f"{confidence_level(v.delta)} confidence at all times; the target is "
        f"{percent(v.target_risk, 1)}.",
    ]
    if v.pending:
        counted = "count as right in the test" if v.order == "prediction" else "are left out"
        lines.append(f"{count(v.pending)} labels are pending and {counted}.")
    return lines


def tests(v: Any) -> list[tuple[str, str, str]]:
    """Return the rows under the header `TESTS`."""
    return [(NAMES[k], f"{v.e_value[k]:.3g}", f"{v.limit[k]:.4g}") for k in v.limit]
