"""An `Evaluation` as a table on a terminal, and as a table and a small plot in a notebook.

m = points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from recuse.present.numbers import area, confidence_level, count, exact_percent, percent

if TYPE_CHECKING:
    from rich.table import Table

HEADER = (
    "model",
    "accuracy",
    "AURC, MSP",
    "AURC, chosen",
    "score",
    "guarantee",
    "coverage",
    "risk",
)
WIDTH = 110  # columns of the table as text
BOX = (360, 200)  # of the plot, in pixels
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 20, 170  # of its axes
# After Okabe & Ito; 3:1 on white, and all but the fifth on black.
COLOURS = ("#0072b2", "#d55e00", "#008f60", "#a45580", "#8a5300", "#2a9bc6")
STYLES = ("", "6 3", "2 3", "8 3 2 3", "1 3", "12 4")


class Row(NamedTuple):
    """One model on the split that it was measured on; rates and areas are fractions."""

    name: str
    n: int
    accuracy: float
    aurc_msp: float
    aurc: float  # of the chosen score
    score: str
    target_risk: float | None  # guaranteed; None if no threshold is feasible
    coverage: float
    risk: float  # NaN if nothing is accepted
    curve: Sequence[tuple[float, float]]  # (m,) coverage and risk, of the chosen score
    baseline: str = "MSP"
    tested: bool = True  # whether that is a test split; else its rows calibrate
    among: str = "accepted"  # or "all": of which predictions the target is a share


def header(rows: Sequence[Row]) -> list[str]:
    """Return the head of the table, with what the chosen scores are compared with."""
    before = " or ".join(dict.fromkeys(row.baseline for row in rows))
    return [name.replace("MSP", before) for name in HEADER]


def cells(row: Row) -> tuple[str, ...]:
    """Return one row of the table."""
    return (
        row.name,
        percent(row.accuracy, 1),
        area(row.aurc_msp, 2),
        area(row.aurc, 2),
        row.score,
        "infeasible" if row.target_risk is None else _guaranteed(row.target_risk, row.among),
        percent(row.coverage, 1),
        percent(row.risk, 2) if row.tested else "not measured",
    )


def _guaranteed(target_risk: float, among: str) -> str:
    return f"<= {exact_percent(target_risk)}{' of all' if among == 'all' else ''}"


def caption(rows: Sequence[Row], delta: float) -> str:
    """Say what was measured, and how sure the guarantee is."""
    sizes = sorted({row.n for row in rows})
    n = " to ".join(map(count, (sizes[0], *sizes[1:][-1:])))
    measured = "test predictions"
    if not all(row.tested for row in rows):
        measured = "predictions; where they calibrate, the risk is guaranteed but not measured"
    of_all = "; of all: accepted and wrong" if any(row.among == "all" for row in rows) else ""
    return (
        f"{n} {measured}. AURC x 1000; coverage and risk at the fitted threshold. "
        f"Each guarantee holds with {confidence_level(delta)} confidence{of_all}."
    )


def table(rows: Sequence[Row], delta: float) -> Table:
    """Return the table for a rich console."""
    from recuse.present.terminal import grid

    options = {"caption": caption(rows, delta), "caption_justify": "left"}
    return grid(header(rows), map(cells, rows), **options)


def text(rows: Sequence[Row], delta: float) -> str:
    """Return the table without colours."""
    from rich.console import Console

    screen = Console(width=WIDTH, color_system=None)
    with screen.capture() as shown:
        screen.print(table(rows, delta))
    return shown.get().rstrip()


def html(rows: Sequence[Row], delta: float) -> str:
    """Return the table and the curves of the chosen scores; every name is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header(rows))
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells(row))}</tr>" for row in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{escape(caption(rows, delta))}</p>{_plot(rows)}"
    )


def _plot(rows: Sequence[Row]) -> str:
    """Risk against coverage as an SVG, and a legend under it."""
    width, height = BOX
    top = max(risk for row in rows for _, risk in row.curve) or 1.0
    lines = "".join(
        f'<polyline points="{_path(row.curve, top)}" fill="none" {_look(i)}/>'
        for i, row in enumerate(rows)
    )
    legend = "".join(_entry(i, row.name) for i, row in enumerate(rows))
    return (
        f'<svg width="{width}" height="{height + 14}" viewBox="0 0 {width} {height + 14}" '
        f'font-size="11" fill="currentColor" role="img" aria-label="risk against coverage">'
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="currentColor"/>{lines}'
        f'<text x="{LEFT - 4}" y="{TOP + 4}" text-anchor="end">{percent(top, 0)}</text>'
        f'<text x="{LEFT - 4}" y="{BOTTOM + 4}" text-anchor="end">0</text>'
        f'<text x="{RIGHT}" y="{BOTTOM + 18}" text-anchor="end">100 % coverage</text>'
        f'<text x="{LEFT}" y="{BOTTOM + 18}">risk of the accepted</text></svg>{legend}'
    )


def _path(curve: Sequence[tuple[float, float]], top: float) -> str:
    """Coverage to the right, risk upwards: y counts downwards in an SVG."""
    return " ".join(
        f"{LEFT + (RIGHT - LEFT) * x:.1f},{BOTTOM - (BOTTOM - TOP) * y / top:.1f}" for x, y in curve
    )


def _look(i: int) -> str:
    """Colours and dashes repeat, but not together."""
    dashes = STYLES[(i + i // len(COLOURS)) % len(STYLES)]
    return f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-dasharray="{dashes}" stroke-width="1.5"'


def _entry(i: int, name: str) -> str:
    line = f'<line x1="0" x2="28" y1="5" y2="5" {_look(i)}/>'
    return f'<div><svg width="28" height="10">{line}</svg> {escape(name)}</div>'
