"""`recuse mixture`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from recuse.evaluation import MixtureMeasures, Source, measure_mixture, score_sources
from recuse.evaluation._measures import check_costs
from recuse.evaluation._sources import check_risk, check_shares, check_threshold
from recuse.io._overlap import check_given_once, shards_of
from recuse.present import measures as words
from recuse.present import terminal

COVERAGES = (0.1,)


def mixture(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...",
            help="A name and a labelled held-out file, in distribution or shifted.",
        ),
    ],
    ood: Annotated[
        list[str],
        typer.Option(
            "--ood",
            metavar="NAME=FILE",
            help="A name and a file of outliers, which have no right answer; labels are ignored. "
            "Repeatable.",
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
        list[str],
        typer.Option("--risk", help="Risks of the whole; each accepts as much as it allows."),
    ] = [],  # noqa: B006
    threshold: Annotated[
        list[str], typer.Option("--threshold", help="Thresholds of one score.")
    ] = [],  # noqa: B006
    cost_error: Annotated[
        float, typer.Option("--cost-error", help="Cost of accepting a wrong prediction.")
    ] = 1.0,
    cost_ood: Annotated[
        float, typer.Option("--cost-ood", help="Cost of accepting an outlier.")
    ] = 1.0,
    share: Annotated[
        list[str],
        typer.Option(
            "--share",
            metavar="NAME=SHARE",
            help="The fraction of inputs from a source in deployment, if it differs from that of "
            "the rows; sources without one divide the rest. Repeatable.",
        ),
    ] = [],  # noqa: B006
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what one threshold accepts from several sources: errors by source, and outliers.

    Coverage is the fraction of all inputs. An accepted outlier is a mistake whatever is predicted,
    with a cost of its own. Rows of equal `groups` depend on each other, also across files.
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
    terminal.blocks(words.MIXTURE_HEADER, words.mixture_blocks(found, outliers))
    terminal.say()
    terminal.blocks(words.areas_header(outliers), words.areas_blocks(found))
    reasons = (m.to_dict().get("reason", {}) for m in found)
    notes = words.mixture_notes(
        found,
        outliers=outliers,
        shares=bool(asked["shares"]),
        costs=(asked["cost_error"], asked["cost_ood"]),
        no_error=(reason["aurc_se"] for reason in reasons if "aurc_se" in reason),
    )
    for sentence in notes:
        terminal.say(sentence)
