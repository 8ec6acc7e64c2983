"""Measures in words and tables.

Intervals with their cautions, comparisons, and what files of predictions hold: evaluate, compare,
mixture, average. Arguments named after a result of `recuse.evaluation` have its attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recuse.present.numbers import (
    UNDEFINED,
    area,
    count,
    exact_percent,
    number,
    percent,
    plural,
    points,
    tight_percent,
)
from recuse.present.text import text_table

CAUTIONS = {
    "no_errors": "no errors: no interval",
    "not_moved": "no example changes it: no interval",
    "all_accepted": "all predictions meet this risk: no standard error",
    "none_accepted": "no threshold meets this risk: no standard error",
    "flat_risk": "the risk does not rise at the threshold: no standard error",
}


def caution(code: str | None, errors: float, few: int) -> str | None:
    """Say why not to rely on an interval.

    >>> caution("few_errors", 10.0, 20)
    'only 10 errors: intervals from fewer than 20 are too narrow'
    """
    if code == "few_errors":
        count = f"{errors:.3g} error{'s' * (errors != 1)}"
        return f"only {count}: intervals from fewer than {few} are too narrow"
    return CAUTIONS[code] if code else None


def interval(name: str, low: float, value: float, high: float, note: str | None) -> str:
    """Return a measure, its interval and a note on one line."""
    return f"{name} {value:.4g} [{low:.4g}, {high:.4g}]{f' ({note})' if note else ''}"


def comparisons(measure: str, baseline: str, value: float, rows: Iterable[Any]) -> str:
    """Return a table of named comparisons with a baseline.

    A row has `name`, `value`, `p_adjusted` and a `comparison` of `difference`, `low` and `high`.
    """
    lines = [(baseline, f"{value:.4g}", "", "", "")]
    for row in rows:
        d = row.comparison
        between = f"[{d.low:.3g}, {d.high:.3g}]"
        numbers = f"{row.value:.4g}", f"{d.difference:.3g}", between, f"{row.p_adjusted:.2g}"
        lines.append((row.name, *numbers))
    return text_table(("", measure, "difference", "95 % interval", "p (Holm)"), lines)


def temperature(
    value: float, error: float, bound: str | None, n: int, before: float, after: float
) -> str:
    """Return a fitted temperature on one line."""
    note = f"(its {bound} bound)" if bound else f"+- {error:.3f}"
    return f"T = {value:.3f} {note} from {n:,} labels: NLL {before:.4f} becomes {after:.4f}"


Rows = dict[str, list[str]]  # name -> cells

FEW = 10  # errors; fewer move by a third or more by chance alone
SIGNIFICANT = 0.05  # p-value below which a difference is significant
AREAS = "AURC and s.e. x 1000."


# Evaluate


def measures_header(risks: Iterable[float], coverages: Iterable[float]) -> tuple[str, ...]:
    """Return the head of a table of measures: lines of name and unit in each column."""
    areas = ("AURC\nx1000", "s.e.\nx1000", "E-AURC\nx1000", "N-AURC\n0 to 1", "AUGRC\nx1000")
    return (*areas, *_levels_header(risks, coverages))


def _levels_header(risks: Iterable[float], coverages: Iterable[float]) -> list[str]:
    names = [f"coverage\n(%) at\n{tight_percent(r)} risk" for r in risks]
    return names + [f"risk (%)\nat {tight_percent(c)}\ncoverage" for c in coverages]


MEASURES_NOTES = (
    "AURC: risk, the error rate of accepted predictions, averaged over all coverages.",
    "E-AURC: AURC minus that of the best order. N-AURC: 0 for the best order, 1 for a random one.",
    "AUGRC: accepted errors, as a fraction of all predictions, averaged over all coverages.",
)


def measures_cells(m: Any) -> list[str]:
    """Return the measures of one score."""
    return _measures(
        (m.aurc, m.aurc_se, m.e_aurc, m.n_aurc, m.augrc),
        m.coverage_at_risk.values(),
        m.risk_at_coverage.values(),
    )


def sketch_cells(m: Mapping[str, Any]) -> list[str]:
    """Return the measures of a sketch, as `CurveSketch.to_dict` returns them."""
    areas = (m[k] for k in ("aurc", "aurc_se", "e_aurc", "n_aurc", "augrc"))
    known = (float("nan") if x is None else x for x in areas)
    return _measures(known, m["coverage_at_risk"].values(), m["risk_at_coverage"].values())


def _measures(
    areas: Iterable[float], coverages: Iterable[float], risks: Iterable[float]
) -> list[str]:
    aurc, error, e_aurc, n_aurc, augrc = areas
    return [
        *map(area, (aurc, error, e_aurc)),
        fraction(n_aurc),
        area(augrc),
        *map(points, coverages),
        *(points(x, 2) for x in risks),
    ]


def fraction(x: float) -> str:
    """Return a number between 0 and 1 with three decimals."""
    return UNDEFINED if x != x else f"{x:.3f}"


def file_title(m: Any, shards: int = 1) -> str:
    """Return the size and accuracy of a file of logits, or of one of its labels."""
    several = f" ({shards} shards)" if shards > 1 else ""
    known = "" if m.classes is None else f", {m.classes} classes"
    where = ""
    if m.labels:
        where = ", all labels" if m.label is None else f", label {m.label}"
        known = f", {m.labels} labels" if m.label is None else ""
    accuracy = percent(m.accuracy, 1)
    return f"{m.name}{several}{where}: {count(m.n)} predictions{known}, accuracy {accuracy}"


def sketch_title(m: Any) -> str:
    """Return the size and accuracy of a sketch."""
    known = "" if m.classes is None else f", {m.classes} classes"
    accuracy = percent(m.accuracy, 1)
    return f"{_of(m)}: a sketch of {count(m.n)} predictions{known}, accuracy {accuracy}"


def sketch_note(m: Any) -> str:
    """Return the certified interval of the AURC of a sketch."""
    low, high = (area(m.measures[k], 4) for k in ("aurc_low", "aurc_high"))
    return f"{_of(m)} is a sketch: its exact AURC is between {low} and {high}."


CERTIFIED_NOTES = (
    "At least, at most: bounds from binning, not a confidence interval. Sampling error is not "
    "included; it needs the rows.",
)


def certified_header(risks: Iterable[float], coverages: Iterable[float]) -> tuple[str, ...]:
    """Return the head of `certified_blocks`."""
    areas = ("AURC\nx1000", "at least\nx1000", "at most\nx1000", "AUGRC\nx1000")
    return (*areas, *_levels_header(risks, coverages))


def certified_blocks(found: Iterable[Any]) -> dict[str, Rows]:
    """Return the measures of each sketch, and the certified interval of its AURC."""
    return {
        f"{_of(m)}: {count(m.n)} predictions, accuracy {percent(m.accuracy, 2)}": {
            m.score: [
                *(area(m.measures[k], 4) for k in ("aurc", "aurc_low", "aurc_high", "augrc")),
                *map(points, m.measures["coverage_at_risk"].values()),
                *(points(x, 2) for x in m.measures["risk_at_coverage"].values()),
            ]
        }
        for m in found
    }


def _of(m: Any) -> str:
    return m.name if m.subgroup is None else f"{m.name}, {m.subgroup}"


def losses_note(name: str) -> str:
    """Say what can be done with a table of losses."""
    return f"{name} holds losses: they can be measured, and `recuse fit` limits their mean."


def few_errors_note(m: Any, least: int) -> str:
    """Warn of standard errors from few errors; empty where there are enough."""
    errors = round(m.n * (1 - m.accuracy)) if m.accuracy == m.accuracy else least
    if not 0 < errors < least:
        return ""
    return f"{m.name} has {plural(errors, 'error')}: with fewer than {least}, s.e. are too small."


# Compare


def compared_sentence(found: Any) -> str:
    """Return the answer, for a reader who has never seen a risk-coverage curve."""
    (one, other), d, n = _sides(found), found.comparison, count(found.n)
    if found.identical:
        return (
            f"{one} and {other} have the same confidence and the same errors in each of these {n} "
            "predictions."
        )
    if d.difference == 0 and d.standard_error == 0:
        return f"{one} and {other} rank these {n} predictions equally well."
    if not d.p_value < SIGNIFICANT:
        p = "" if d.p_value != d.p_value else f" (p = {_p(d.p_value)})"
        return (
            f"On these {n} predictions the difference between {one} and {other} is not "
            f"significant{p}."
        )
    better, worse = (one, other) if d.difference < 0 else (other, one)
    low, high = sorted(abs(x) for x in (d.low, d.high))
    return (
        f"{better} is better than {worse} at accepting the right predictions first: its error "
        f"rate, averaged over all coverages (AURC), is lower by {points(abs(d.difference), 2)} "
        f"percentage points (95 % interval {points(low, 2)} to {points(high, 2)}). If both were "
        f"equally good, a difference this large would occur with probability {_p(d.p_value)}."
    )


def _p(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}"


def _sides(found: Any) -> tuple[str, str]:
    """Name the two by their file, their score, or both: by what tells them apart."""
    (a, score_a), (b, score_b) = ((side.file, side.score) for side in (found.a, found.b))
    if a == b and score_a != score_b:
        return score_a, score_b
    if Path(a).name != Path(b).name:
        a, b = Path(a).name, Path(b).name
    return (a, b) if score_a == score_b else (f"{score_a} of {a}", f"{score_b} of {b}")


COMPARED_HEADER = ("", "accuracy", "AURC", "AUGRC")


def compared_rows(found: Any) -> list[tuple[str, ...]]:
    """Return both sides, and the difference of their AURC."""
    rows = [
        (f"{letter}: {name}", percent(s.accuracy, 1), area(s.aurc, 2), area(s.augrc, 2))
        for letter, name, s in zip("AB", _sides(found), (found.a, found.b))
    ]
    d = found.comparison
    difference = f"{area(d.difference, 2)} ({area(d.low, 2)} to {area(d.high, 2)})"
    return [*rows, ("A - B (95 % interval)", "", difference, "")]


def compared_notes(found: Any) -> Iterator[str]:
    """Yield what the numbers are, and how the rows were matched."""
    yield "AURC and AUGRC x 1000; smaller is better."
    if found.matched_by == "rows":
        note = "Rows were matched by their position, and only their labels were compared."
        if found.sorted_labels:
            note += (
                " The labels are sorted, so a different order within a class would go unnoticed: "
                "save `ids` in both files."
            )
        yield note
    if found.groups is not None:
        yield f"Rows that share one of {count(found.groups)} groups count as dependent."


# Mixture

MIXTURE_HEADER = ("inputs", "accepted", "coverage", "errors ", "risk", "share", "of accepted")


def mixture_blocks(found: Iterable[Any], outliers: Collection[str]) -> dict[str, Rows]:
    """Return the sources at each operating point of each score."""
    return {
        _point(m.score, p): {_name(r, outliers): _row(r) for r in (*p.sources, p.overall)}
        for m in found
        for p in m.points
    }


def _point(score: str, point: Any) -> str:
    if point.by == "threshold":
        return f"{score}, threshold {number(point.level)}"
    asked = f"{score}, {point.by} {exact_percent(point.level)}"
    if not point.overall.accepted:
        return f"{asked}: no threshold reaches it"
    return f"{asked}: threshold {number(point.threshold)}"


def _name(row: Any, outliers: Collection[str]) -> str:
    return f"{row.source} (ood)" if row.source in outliers else row.source


def _row(row: Any) -> list[str]:
    return [
        count(row.n),
        count(row.accepted),
        percent(row.coverage, 1),
        f"{count(round(row.errors))}{'*' if row.errors < FEW else ' '}",
        percent(row.risk, 1),
        percent(row.share, 1),
        percent(row.accepted_share, 1),
    ]


def areas_header(outliers: Collection[str]) -> tuple[str, ...]:
    """Return the head of `areas_blocks`."""
    return ("AURC", "s.e.", *(("AUROC", "FPR", "AUROC right", "FPR right") * bool(outliers)))


def areas_blocks(found: Iterable[Any]) -> dict[str, Rows]:
    """Return the AURC of each source and of the whole, and the detection of outliers."""
    return {m.score: _areas(m) for m in found}


def _areas(m: Any) -> Rows:
    none = [UNDEFINED] * 4 if m.detection else []
    alone = {name: [area(s.aurc), area(s.aurc_se), *none] for name, s in m.alone.items()}
    against = {
        f"{name} (ood)": [
            *(UNDEFINED, UNDEFINED, fraction(d.auroc), percent(d.fpr, 1)),
            *(fraction(d.auroc_right), percent(d.fpr_right, 1)),
        ]
        for name, d in m.detection.items()
    }
    return alone | against | {"all": [area(m.aurc), area(m.aurc_se), *none]}


def mixture_notes(
    found: Sequence[Any],
    *,
    outliers: Collection[str],
    shares: bool,
    costs: tuple[float, float],
    no_error: Iterable[str],
) -> Iterator[str]:
    """Yield what the numbers are, and which of them are uncertain.

    Args:
        found: The measures of each score.
        outliers: Names of the sources of outliers.
        shares: Whether sources count by shares that were given.
        costs: Of accepting an error and an outlier.
        no_error: Reasons why the whole has no standard error.
    """
    rows = [row for m in found for p in m.points for row in (*p.sources, p.overall)]
    if any(row.errors < FEW for row in rows):
        yield (
            f"* Fewer than {FEW} errors: chance alone changes such a count, and the risk computed "
            "from it, by a third or more."
        )
    if shares:
        yield (
            "Coverage, risk and AURC of the whole count each source by its share, not by its rows."
        )
    if outliers:
        error, ood = map(number, costs)
        yield (
            "Errors of outliers are accepted outliers. Risk is "
            f"({error} x errors + {ood} x outliers) / accepted; coverage is of all inputs. {AREAS}"
        )
        yield (
            "AUROC and FPR compare outliers with all other inputs, and with those predicted right; "
            "FPR is the fraction of outliers accepted when 95 % of the others are."
        )
    else:
        yield f"Risk is errors / accepted. {AREAS}"
    yield from dict.fromkeys(f"No s.e. of the whole: {reason}." for reason in no_error)


# Average

MEANS = {"logits": "logits", "probs": "probabilities"}


def average_lines(of: str, members: int, n: int, matched_by: str) -> Iterator[str]:
    """Yield what was averaged, and how the rows were matched."""
    yield f"Averaged the {MEANS[of]} of {members} models over {plural(n, 'row')}."
    if matched_by == "rows":
        yield (
            "Rows were matched by their position: their labels are equal, which is weak evidence "
            "if they are sorted. `ids` in all files would make sure."
        )
