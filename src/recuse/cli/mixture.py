"""`recuse mixture`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.check import check_fraction, number_of
from recuse._internal.files import to_json
from recuse.cli.files import scan
from recuse.cli.options import (
    Binary,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    kind_of,
    named,
    numbers,
    scores_of,
)
from recuse.errors import InputError
from recuse.evaluation import (
    BySource,
    MixtureMeasures,
    Source,
    SourceRow,
    check_costs,
    check_risk,
    check_shares,
    check_threshold,
    measure_mixture,
    score_sources,
)
from recuse.io._overlap import check_given_once, shards_of
from recuse.present import terminal
from recuse.present.numbers import area, percent

COVERAGES = (0.1,)
LEAST = 10  # errors; fewer move by a third or more by chance alone


def mixture(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...",
            help="Labelled logits, in distribution or shifted, each under a name.",
        ),
    ],
    ood: Annotated[
        list[str],
        typer.Option(
            "--ood",
            metavar="NAME=FILE",
            help="Logits of outliers, which have no right answer; labels are ignored. Repeatable.",
        ),
    ] = [],  # noqa: B006  typer reads it once
    score: Annotated[
        list[str],
        typer.Option("--score", help="msp (default), margin, logit_norm(p=3), ...; repeatable."),
    ] = [],  # noqa: B006
    coverage: Annotated[
        list[str],
        typer.Option("--coverage", help="Fractions of all inputs to accept; 0.1 by default."),
    ] = [],  # noqa: B006
    risk: Annotated[
        list[str], typer.Option("--risk", help="Risks of the whole at which to accept the most.")
    ] = [],  # noqa: B006
    threshold: Annotated[
        list[str], typer.Option("--threshold", help="Thresholds of one score.")
    ] = [],  # noqa: B006
    cost_error: Annotated[
        float, typer.Option("--cost-error", help="Of accepting a wrong prediction.")
    ] = 1.0,
    cost_ood: Annotated[float, typer.Option("--cost-ood", help="Of accepting an outlier.")] = 1.0,
    share: Annotated[
        list[str],
        typer.Option(
            "--share",
            metavar="NAME=SHARE",
            help="The fraction of the inputs that come from a source in deployment, where it is "
            "not that of the rows; sources without one divide the rest. Repeatable.",
        ),
    ] = [],  # noqa: B006
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What one threshold accepts from several sources: errors by source, and outliers let through.

    Coverage is over all inputs. An accepted outlier is a mistake whatever is predicted, with a
    cost of its own. Rows of equal `groups` depend on each other, in different files too.
    """
    kind = kind_of(binary, probs)
    scores = scores_of(score or ["msp"], kind)
    check_costs(cost_error, cost_ood)
    paths = named([*files, *ood], "NAME=FILE")
    check_given_once([Path(file) for file in paths.values()], shards_of)
    outliers = [*paths][len(files) :]
    largest = max(cost_error, cost_ood * bool(outliers))
    asked: dict[str, Any] = {
        **_levels(coverage, risk, threshold, len(scores), largest),
        **{"shares": _shares(share, paths), "cost_error": cost_error, "cost_ood": cost_ood},
    }
    options: dict[str, Any] = {"kind": kind, "ignore_index": ignore_index, "quiet": quiet}
    sources = {name: _open(Path(file), name in outliers, **options) for name, file in paths.items()}
    scored = score_sources(sources, scores)
    found = [measure_mixture(scored, str(s), **asked) for s in scores]
    if as_json:
        print(to_json(_plain(paths, outliers, asked, found)))
    elif not quiet:
        _show(outliers, asked, found)


def _shares(pairs: list[str], names: Iterable[str]) -> dict[str, float]:
    given = named([pair for each in pairs for pair in each.split(",")], "--share NAME=SHARE")
    shares = {name: number_of(share) for name, share in given.items()}
    check_shares(shares, tuple(names))
    return {name: float(share) for name, share in shares.items()}


def _levels(
    coverage: list[str], risk: list[str], threshold: list[str], scores: int, largest: float
) -> dict[str, tuple[float, ...]]:
    """Every level, checked before any file is read; `largest` is the largest loss."""
    if threshold and scores > 1:
        raise InputError(f"expected one --score with --threshold, got {scores}")
    coverages = numbers(coverage, () if risk or threshold else COVERAGES, "coverage")
    risks, thresholds = numbers(risk, (), "risk"), numbers(threshold, (), "threshold")
    return {
        "coverages": tuple(check_fraction(x, "coverage", one=True) for x in coverages),
        "risks": tuple(check_risk(x, largest) for x in risks),
        "thresholds": tuple(map(check_threshold, thresholds)),
    }


def _open(path: Path, outliers: bool, **options: Any) -> Source:
    reader, chunks = scan(path, labels=not outliers, **options)
    return Source(reader, outliers, chunks)


def _plain(
    paths: Mapping[str, str],
    outliers: list[str],
    asked: Mapping[str, Any],
    found: list[MixtureMeasures],
) -> dict[str, Any]:
    return {
        "sources": {
            name: {"file": str(Path(file)), "ood": name in outliers} for name, file in paths.items()
        },
        "cost_error": asked["cost_error"],
        "cost_ood": asked["cost_ood"],
        "shares": "deployment" if asked["shares"] else "rows",
        "scores": {m.score: m.to_dict() for m in found},
    }


def _show(outliers: list[str], asked: Mapping[str, Any], found: list[MixtureMeasures]) -> None:
    header = ("inputs", "accepted", "coverage", "errors ", "risk", "share", "of accepted")
    points = {_title(m.score, p): _cells(p, outliers) for m in found for p in m.points}
    terminal.blocks(header, points)
    terminal.say()
    header = ("AURC", "s.e.", *(("AUROC", "FPR", "AUROC right", "FPR right") * bool(outliers)))
    terminal.blocks(header, {m.score: _areas(m) for m in found})
    for sentence in (*_few(found), *_notes(outliers, asked), *_without_error(found)):
        terminal.say(sentence)


def _title(score: str, point: BySource) -> str:
    level = point.level
    if point.by == "threshold":
        return f"{score}, threshold {level:g}"
    asked = f"{score}, {point.by} {100 * level:g} %"
    if not point.overall.accepted:
        return f"{asked}: no threshold reaches it"
    return f"{asked}: threshold {point.threshold:.6g}"


def _cells(point: BySource, outliers: list[str]) -> dict[str, list[str]]:
    return {_name(row, outliers): _row(row) for row in (*point.sources, point.overall)}


def _name(row: SourceRow, outliers: list[str]) -> str:
    return f"{row.source} (ood)" if row.source in outliers else row.source


def _row(row: SourceRow) -> list[str]:
    return [
        f"{row.n:,}",
        f"{row.accepted:,}",
        percent(row.coverage, 1),
        f"{row.errors:,.0f}{'*' if row.errors < LEAST else ' '}",
        percent(row.risk, 1),
        percent(row.share, 1),
        percent(row.accepted_share, 1),
    ]


def _areas(m: MixtureMeasures) -> dict[str, list[str]]:
    none = ["-"] * 4 if m.detection else []
    alone = {name: [area(s.aurc), area(s.aurc_se), *none] for name, s in m.alone.items()}
    against = {
        f"{name} (ood)": [
            *("-", "-", f"{d.auroc:.3f}", percent(d.fpr, 1)),
            *(_number(d.auroc_right), percent(d.fpr_right, 1)),
        ]
        for name, d in m.detection.items()
    }
    return alone | against | {m.points[0].overall.source: [area(m.aurc), area(m.aurc_se), *none]}


def _number(x: float) -> str:
    return "-" if x != x else f"{x:.3f}"


def _few(found: list[MixtureMeasures]) -> Iterator[str]:
    """A word on rates that rest on next to nothing."""
    rows = [row for m in found for p in m.points for row in (*p.sources, p.overall)]
    if any(row.errors < LEAST for row in rows):
        yield (
            f"* Fewer than {LEAST} errors: chance alone moves such a number, and a risk made of "
            "it, by a third or more."
        )


def _without_error(found: list[MixtureMeasures]) -> set[str]:
    """Why the whole has no standard error."""
    reasons = (m.to_dict().get("reason", {}) for m in found)
    return {f"No s.e. of the whole: {r['aurc_se']}." for r in reasons if "aurc_se" in r}


def _notes(outliers: list[str], asked: Mapping[str, Any]) -> Iterator[str]:
    if asked["shares"]:
        yield (
            "Coverage, risk and AURC of the whole count each source by its share, not by its rows."
        )
    if not outliers:
        yield "Risk is errors / accepted. AURC and s.e. x 1000."
        return
    e, o = asked["cost_error"], asked["cost_ood"]
    yield (
        f"The errors of outliers are those accepted. Risk is ({e:g} x errors + {o:g} x outliers) / "
        "accepted, coverage is of all inputs. AURC and s.e. x 1000."
    )
    yield (
        "AUROC and FPR: outliers against all that are none, and against those predicted right; FPR "
        "is the fraction of outliers accepted where 95 % of the others are."
    )
