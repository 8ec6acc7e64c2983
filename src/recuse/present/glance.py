"""A result at a glance: two lines on a terminal, a short table in a notebook.

Arguments named after a result have its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from recuse.present.diagnosis import evidence
from recuse.present.numbers import count, exact_percent, listed, percent, plural
from recuse.present.reading import held_lines
from recuse.present.text import score_name

NAMED = 5  # classes
COVERAGES = (0.2, 0.5, 0.8, 1.0)  # of a curve


class Card(NamedTuple):
    """A result: two lines, and the rows of its table by name."""

    title: str
    line: str
    rows: Mapping[str, str]

    def text(self) -> str:
        """Return the two lines.

        >>> print(Card("Tuned: MSP", "It is the only\\nconfidence.", {}).text())
        Tuned: MSP
        It is the only confidence.
        """
        return "\n".join(" ".join(line.split()) for line in (self.title, self.line))

    def html(self) -> str:
        """Return the table; every name is escaped.

        >>> Card("a < b", "", {"n": "1"}).html()
        '<table><caption>a &lt; b</caption><tbody><tr><th>n</th><td>1</td></tr></tbody></table>'
        """
        body = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self.rows.items()
        )
        return f"<table><caption>{escape(self.title)}</caption><tbody>{body}</tbody></table>"


class AtAGlance:
    """A result that shows its card; its `str` says more."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()


def rejector(r: Any, rule: str) -> Card:
    """Return the card of a rejector, with its rule as a sentence."""
    names = "" if r.class_names is None else f" ({listed(r.class_names, NAMED)})"
    columns = "columns" if r.kind == "confidences" else "classes"
    held = f"{r.kind}, {count(r.classes)} {columns}{names}"
    thresholds = {} if r.by == "all" else {"thresholds": f"{count(len(r.rules))}, by {r.by}"}
    rows = {"rule": rule, **thresholds, "guarantee": r.statement, "score": r.reason}
    return Card(f"Rejector: {rule}", r.statement, {**rows, "outputs": held})


def tuned(t: Any) -> Card:
    """Return the card of a tuned score."""
    rows = {"score": str(t.score), "reason": t.reason, "predictions": count(t.n)}
    rows |= {"wrong": count(t.facts.errors), "compared": plural(len(t.table), "score")}
    return Card(f"Tuned: {score_name(t.score)}, of {plural(t.n, 'prediction')}", t.reason, rows)


def diagnosis(d: Any) -> Card:
    """Return the card of a diagnosis: the answer, and the evidence behind it."""
    found = {name: f"{value} {between}".strip() for name, value, between, _ in evidence(d)}
    rows = {"verdict": d.sentence, "recommendation": d.recommendation, **found}
    return Card(f"Diagnosis: {d.sentence}", d.recommendation, rows)


def selection(s: Any) -> Card:
    """Return the card of a threshold."""
    threshold = f"{s.threshold:.6g}" if s.feasible else "none"
    name = "guarantee" if s.feasible else "reason"
    rows = {"threshold": threshold, name: s.reason}
    return Card(f"Selection: threshold {threshold}", s.reason, rows)


def selections(s: Any) -> Card:
    """Return the card of a threshold for each subgroup."""
    found = sum(one.feasible for one in s.selections.values())
    title = f"SubgroupSelection: {count(found)} of {count(len(s.selections))} have a threshold"
    return Card(title, s.reason, {"by": s.by, "guarantee" if s.feasible else "reason": s.reason})


def held_out(file: Any) -> Card:
    """Return the card of a held-out file."""
    outputs, arrays = held_lines(file)
    rows = {"rows": count(len(file))}
    rows |= dict(line.rstrip(".").split(": ", 1) for line in (outputs, arrays))
    return Card(f"{file.name}: {plural(len(file), 'row')}. {outputs}", arrays, rows)


def risk_coverage(curve: Any) -> Card:
    """Return the card of a curve: its ends, and some points between them."""
    n, points = int(curve.accepted[-1]), len(curve.coverage)
    title = f"RiskCoverage: {plural(points, 'operating point')} of {plural(n, 'prediction')}"
    rows = {}
    for coverage in COVERAGES:
        at = int((curve.coverage < coverage).sum())
        rows[f"coverage {percent(float(curve.coverage[at]))}"] = (
            f"risk {_risk(curve.risk[at])}, threshold {curve.threshold[at]:.6g}"
        )
    ends = f"{_risk(curve.risk[0])} at coverage {percent(float(curve.coverage[0]))}"
    return Card(title, f"Risk {ends}, {_risk(curve.risk[-1])} at coverage 100 %.", rows)


def _risk(x: float) -> str:
    """A mean loss: losses other than 0 and 1 may be larger than 1."""
    return f"{float(x):.4g}"


def label_plan(p: Any) -> Card:
    """Return the card of a plan."""
    first, *rest = p.reason.splitlines()
    rows = {"target risk": exact_percent(p.target_risk), "accuracy": percent(p.accuracy)}
    if p.feasible:
        rows |= {f"{p.unit} to label": count(p.rows), "coverage to expect": percent(p.coverage)}
    return Card(f"LabelPlan: {first}", " ".join(rest), {**rows, "plan": " ".join((first, *rest))})
