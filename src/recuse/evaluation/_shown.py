"""How an Evaluation shows itself: a table in a terminal, a table and a small plot in a notebook.

M = models, m = points of a curve.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from recuse.curves import risk_coverage

if TYPE_CHECKING:
    from rich.table import Table

    from recuse.evaluation._models import Evaluation, ModelEvaluation

HEADER = (
    "model",
    "accuracy",
    "AURC, MSP",
    "AURC, chosen",
    "score",
    "promised",
    "accepted",
    "wrong",
)
WIDTH = 110  # columns of the table as text
POINTS = 200  # of a drawn curve
BOX = (360, 200)  # of the plot, in pixels
# After Okabe & Ito; 3:1 on white, and all but the fifth on black.
COLOURS = ("#0072b2", "#d55e00", "#008f60", "#a45580", "#8a5300", "#2a9bc6")
STYLES = ("", "6 3", "2 3", "8 3 2 3", "1 3", "12 4")


def rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """A row for each model; areas times 1,000, the last columns of its threshold on the test."""
    for m in evaluation.models:
        promise = f"<= {100 * evaluation.target_risk:g} %" if m.rejector else "infeasible"
        yield (
            m.name,
            f"{100 * m.accuracy:.1f} %",
            f"{1000 * m.before.aurc:.2f}",
            f"{1000 * m.after.aurc:.2f}",
            str(m.tuned.score),
            promise,
            f"{100 * m.accepted / m.n:.1f} %",
            f"{100 * m.errors / m.accepted:.2f} %" if m.accepted else "-",
        )


def table(evaluation: Evaluation) -> Table:
    """For a rich console."""
    from rich.markup import escape as plain
    from rich.table import Table

    grid = Table(caption=caption(evaluation), caption_justify="left")
    for i, name in enumerate(HEADER):
        grid.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows(evaluation):
        grid.add_row(*map(plain, row))
    return grid


def text(evaluation: Evaluation) -> str:
    """The same without colours."""
    from rich.console import Console

    screen = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    screen.print(table(evaluation))
    return screen.file.getvalue().rstrip()  # ty: ignore[missing-attribute]


def html(evaluation: Evaluation) -> str:
    """The table and the curves of the chosen scores; names are text, whatever is in them."""
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows(evaluation)
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{escape(caption(evaluation))}</p>{_plot(evaluation)}"
    )


def caption(evaluation: Evaluation) -> str:
    """What the numbers are of."""
    sizes = sorted({m.n for m in evaluation.models})
    n = " to ".join(f"{size:,}" for size in (sizes[0], *sizes[1:][-1:]))
    return f"{n} test predictions; areas x 1000; the threshold keeps its promise with " + (
        f"{100 * (1 - evaluation.delta):g} % confidence"
    )


def _plot(evaluation: Evaluation) -> str:
    """Risk against coverage, as a picture of lines and words, and the models under it."""
    width, height = BOX
    curves = [_points(m) for m in evaluation.models]
    top = max(max(risk for _, risk in points) for points in curves) or 1.0
    lines = ""
    for i, points in enumerate(curves):
        path = " ".join(f"{40 + 310 * x:.1f},{170 - 150 * y / top:.1f}" for x, y in points)
        lines += f'<polyline points="{path}" fill="none" {_look(i)}/>'
    legend = "".join(_entry(i, m.name) for i, m in enumerate(evaluation.models))
    return (
        f'<svg width="{width}" height="{height + 14}" viewBox="0 0 {width} {height + 14}" '
        f'font-size="11" fill="currentColor" role="img" aria-label="risk against coverage">'
        f'<path d="M40 20V170H350" fill="none" stroke="currentColor"/>{lines}'
        f'<text x="36" y="24" text-anchor="end">{100 * top:.0f} %</text>'
        f'<text x="36" y="174" text-anchor="end">0</text>'
        f'<text x="350" y="188" text-anchor="end">100 % coverage</text>'
        f'<text x="40" y="188">risk of the accepted</text></svg>{legend}'
    )


def _look(i: int) -> str:
    """Of a line: colour and dashes repeat, but not together."""
    dashes = STYLES[(i + i // len(COLOURS)) % len(STYLES)]
    return f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-dasharray="{dashes}" stroke-width="1.5"'


def _entry(i: int, name: str) -> str:
    """A line of the legend."""
    line = f'<line x1="0" x2="28" y1="5" y2="5" {_look(i)}/>'
    return f'<div><svg width="28" height="10">{line}</svg> {escape(name)}</div>'


def _points(model: ModelEvaluation) -> Sequence[tuple[float, float]]:
    """Coverage and risk at a few thresholds, the first and the last among them."""
    curve = risk_coverage(model.confidence, model.loss)
    few = np.unique(np.linspace(0, len(curve.risk) - 1, POINTS).round().astype(int))
    return list(zip(curve.coverage[few].tolist(), curve.risk[few].tolist()))
