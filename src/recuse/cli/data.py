"""`recuse split` and `recuse evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recuse._check import InputError
from recuse._files import to_json
from recuse.cli import show
from recuse.cli.options import (
    Binary,
    Force,
    Groups,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    Seed,
    kind_of,
    numbers,
    read,
    refuse_overwrite,
)
from recuse.evaluation import COVERAGES, RISKS, FileMeasures, Measures, measure_file
from recuse.io import read_logits, split_rows, write_logits
from recuse.scores import SOFTMAX_FAMILY, Score


def split(
    file: Annotated[Path, typer.Argument(help="A logits file: .safetensors or .npz.")],
    parts: Annotated[
        str, typer.Option("--parts", help="Names and fractions that sum to 1.")
    ] = "tune=0.4,calibrate=0.4,test=0.2",
    out: Annotated[Path, typer.Option("--out", help="Folder of the parts.")] = Path("splits"),
    binary: Binary = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut a held-out logits file into disjoint parts: by row, or by `groups` when present."""
    kind = kind_of(binary, probs=False)
    source = read_logits(file, kind=kind, ignore_index=ignore_index)
    pieces = split_rows(source, _parts(parts), seed=seed)
    paths = {name: out / f"{name}{file.suffix}" for name in pieces}
    for path in paths.values():
        refuse_overwrite(path, force, file)
    for name, piece in pieces.items():
        write_logits(
            paths[name],
            piece.logits[:, 1:] if binary else piece.logits,  # the column as it came
            piece.labels,
            groups=piece.groups,
            ids=piece.ids,
            kind=kind,
            ignore_index=ignore_index,
        )
    rows = [(name, str(paths[name]), len(piece), piece.digest) for name, piece in pieces.items()]
    if as_json:
        print(to_json({"parts": [dict(zip(("part", "file", "n", "digest"), r)) for r in rows]}))
    elif not quiet:
        show.table(
            ("part", "file", "rows", "digest"),
            ((name, path, f"{n:,}", f"{digest[:19]}...") for name, path, n, digest in rows),
        )


def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Labelled logits files.")],
    score: Annotated[
        list[str],
        typer.Option("--score", help="msp, margin, logit_norm(p=3), ...; repeatable."),
    ] = ["msp"],  # noqa: B006  typer reads it once
    risk: Annotated[
        list[str], typer.Option("--risk", help="Levels of coverage at risk, such as 0.01,0.05.")
    ] = [],  # noqa: B006
    coverage: Annotated[
        list[str], typer.Option("--coverage", help="Levels of risk at coverage, such as 0.2,0.8.")
    ] = [],  # noqa: B006
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    as_json: Json = False,
) -> None:
    """Measure how well confidence separates right from wrong predictions."""
    kind = kind_of(binary, probs)
    scores = _scores(score, kind)
    risks = numbers(risk, RISKS, "risk")
    coverages = numbers(coverage, COVERAGES, "coverage")
    measured = [
        measure_file(
            read(path, kind=kind, ignore_index=ignore_index, groups=groups),
            scores,
            risks=risks,
            coverages=coverages,
        )
        for path in files
    ]
    if as_json:
        print(to_json({"files": [m.to_dict() for m in measured]}))
    else:
        _show(measured, risks, coverages)


def _scores(specs: list[str], kind: str) -> list[Score]:
    """Scores of a repeatable option; a comma inside parentheses belongs to the score."""
    parts, depth = [""], 0
    for char in ",".join(specs):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    scores = [Score.parse(part) for part in parts if part.strip()]
    if not scores:
        raise InputError(f"expected --score with a name such as msp, got {specs!r}")
    for score in scores:
        if kind == "probs" and score.name not in SOFTMAX_FAMILY:
            raise InputError(
                f"expected a score of {', '.join(SOFTMAX_FAMILY)} with --probs, got {score}: "
                "the logarithm of a probability has lost the shift of the logits"
            )
    return scores


def _parts(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in text.split(",")]
        parts = {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise InputError(f"expected --parts like tune=0.4,test=0.6, got {text!r}") from None
    for name, _ in pairs:
        if not name.strip().isidentifier():
            raise InputError(f"expected --parts with plain names, got {name!r}")
    if len(parts) < len(pairs):
        raise InputError(f"expected --parts with names that differ, got {text!r}")
    return parts


def _show(
    measured: list[FileMeasures], risks: tuple[float, ...], coverages: tuple[float, ...]
) -> None:
    header = (
        *("AURC", "s.e.", "E-AURC", "N-AURC", "AUGRC"),
        *(f"cov@{100 * r:g}%" for r in risks),
        *(f"risk@{100 * c:g}%" for c in coverages),
    )
    blocks = {
        f"{m.name}: {m.n:,} predictions, {m.classes} classes, "
        f"accuracy {show.percent(m.accuracy)}": {name: _cells(s) for name, s in m.scores.items()}
        for m in measured
    }
    show.blocks(header, blocks)
    show.say("AURC, s.e., E-AURC and AUGRC x 1000; smaller is better. cov@ and risk@ in percent.")


def _cells(s: Measures) -> list[str]:
    return [
        *(show.milli(x) for x in (s.aurc, s.aurc_se, s.e_aurc)),
        "-" if s.n_aurc != s.n_aurc else f"{s.n_aurc:.3f}",
        show.milli(s.augrc),
        *(f"{100 * x:.1f}" for x in s.coverage_at_risk.values()),
        *(f"{100 * x:.2f}" for x in s.risk_at_coverage.values()),
    ]
