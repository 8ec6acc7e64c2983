"""`recuse fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    by_columns,
    check_ending,
    read_whole,
    refuse_overwrite,
    subgroups_of,
)
from recuse.cli.options import (
    Among,
    Binary,
    Delta,
    Force,
    IgnoreIndex,
    Json,
    Learned,
    ModelName,
    Objective,
    Probs,
    Quiet,
    RepeatedIds,
    Seed,
    by_class,
    kind_of,
    numbers,
)
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._rows import of_classes
from recuse.present import decisions, terminal
from recuse.rejector import ALL, CLASS, SUBGROUP, Choice, Rejector, choose, fit_several
from recuse.rejector._costs import read_costs
from recuse.selectors import SubgroupSelection

PLURALS = {CLASS: "predicted classes", SUBGROUP: "subgroups"}
REASONS = 2  # classes or subgroups without a threshold of which it is told why

BY_HELP = (
    "class, for the predicted class, a column of the files, or a .csv of id and subgroup: each "
    "subgroup gets its own threshold."
)


def fit(
    file: Annotated[
        Path | None,
        typer.Argument(help="A held-out file, cut by a rule that is fixed beforehand and printed."),
    ] = None,
    tune: Annotated[
        Path | None,
        typer.Option("--tune", help="Instead: held-out file to choose the score on."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", help="And a file of other rows, to choose the threshold on."),
    ] = None,
    target_risk: Annotated[
        str | None,
        typer.Option(
            "--target-risk",
            help="Largest error rate of accepted predictions (see --among); one for each "
            "predicted class, sick=0.02,healthy=0.01; or several, 0.01,0.05, whose guarantees "
            "hold at once, each in a file of its own.",
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option("--coverage", help="Instead: smallest fraction of predictions to accept."),
    ] = None,
    costs: Annotated[
        Path | None,
        typer.Option(
            "--costs",
            help="Instead: a .csv of costs. A row for each label, named in its first column; a "
            "column for each answer, and one named abstain.",
        ),
    ] = None,
    misses: Annotated[
        str | None,
        typer.Option(
            "--misses",
            help="Alone or with --target-risk, as sick=0.01: largest share of a true class that is "
            "answered with another class. Abstentions are no misses.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="class|COLUMN|FILE.csv", help=BY_HELP)
    ] = None,
    delta: Delta = 0.05,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="auto, fixed_sequence, random_walk, bonferroni, band, betting or sgr."
        ),
    ] = "auto",
    among: Among = "accepted",
    objective: Objective = "aurc",
    learned: Learned = True,
    out: Annotated[Path, typer.Option("--out", help="The rejector to write.")] = Path(
        "rejector.json"
    ),
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", help="Groups of the file (of --calibrate); see evaluate."),
    ] = None,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Tune and calibrate may share rows: no guarantee."),
    ] = False,
    repeated_ids: RepeatedIds = "refuse",
    model: ModelName = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose a score and a threshold with a guarantee, from one held-out file or from two.

    The guarantee is of an error rate, a coverage or a mean cost. If no threshold has it, the exit
    code is 1, no file is written, and the answer says what would be feasible.
    """
    check_ending(out, ".json")
    places = _places(file, tune, calibrate)
    of_class = by_class(target_risk, "target-risk")
    targets = () if of_class else numbers([target_risk or ""], (), "target-risk")
    limits = by_class(misses, "misses")
    if misses is not None and not limits:
        raise InputError(f"expected --misses such as sick=0.01, got {misses!r}")
    goal = _goal(of_class or targets, coverage, costs, by, misses)
    outs = _outs(out, targets)
    for path in outs:
        refuse_overwrite(path, force, *places, *_paths(by), *([] if costs is None else [costs]))
    reading: dict[str, Any] = {
        **{"kind": kind_of(binary, probs), "ignore_index": ignore_index},
        "subgroups": by_columns(by),
    }
    files = (
        *(read_whole(place, **reading) for place in places[:-1]),
        read_whole(places[-1], **reading, groups=groups),
    )
    options: dict[str, Any] = {
        "delta": delta,
        "method": method,
        "among": among,
        "objective": objective,
        "learned": learned,
        "seed": seed,
        "allow_overlap": allow_overlap,
        "repeated_ids": repeated_ids,
        "model": model,
        "misses": limits or None,
    }
    with terminal.working("choosing the score and the threshold", quiet=quiet):
        if len(targets) > 1:
            choices = fit_several(*files, target_risks=targets, **options)
        else:
            choices = (choose(*files, **goal, subgroups=_subgroups(by, *files), **options),)
    for choice, path in zip(choices, outs):
        if choice.rejector is not None:
            choice.rejector.save(path)
    if as_json:
        answers = [_answer(choice, path) for choice, path in zip(choices, outs)]
        print(to_json(answers[0] if len(answers) == 1 else {"delta": delta, "fits": answers}))
    elif not quiet:
        _tell_fit(choices, outs)
    if any(choice.rejector is None for choice in choices):
        raise typer.Exit(1)


def _places(file: Path | None, tune: Path | None, calibrate: Path | None) -> tuple[Path, ...]:
    """Return the one file, or the two."""
    match file, tune, calibrate:
        case Path(), None, None:
            return (file,)
        case None, Path(), Path():
            return tune, calibrate
    given = {"a file": file, "--tune": tune, "--calibrate": calibrate}
    got = " and ".join(name for name, path in given.items() if path is not None) or "none"
    raise InputError(
        f"expected one held-out file, or --tune and --calibrate, got {got}; see recuse fit --help"
    )


def _goal(
    targets: tuple[float, ...] | dict[str, float],
    coverage: float | None,
    costs: Path | None,
    by: str | None,
    misses: str | None,
) -> dict[str, Any]:
    """Return the one goal that is asked for, as `choose` takes it."""
    given = {"--target-risk": targets or None, "--coverage": coverage, "--costs": costs}
    names = [name for name, value in given.items() if value is not None]
    if misses is not None and not names:
        return {}
    if len(names) != 1:
        got = " and ".join(names) or "none"
        raise InputError(
            f"expected one of --target-risk, --coverage and --costs, or --misses, got {got}"
        )
    if isinstance(targets, dict):
        return {"target_risk": targets}
    if by is not None and len(targets) != 1:
        value = ",".join(f"{target:.12g}" for target in targets) or given[names[0]]
        raise InputError(f"expected --by with one --target-risk, got {names[0]} {value}")
    if targets:
        return {"target_risk": targets[0]}
    return {"coverage": coverage} if costs is None else {"costs": read_costs(costs)}


def _subgroups(by: str | None, *files: HeldOut) -> Any:
    """Return `subgroups` of `recuse.fit`: "class", or the subgroups of each file's rows."""
    if by is None or by == CLASS:
        return by
    found = tuple(subgroups_of(by, file, "class, ") for file in files)
    return found[0] if len(found) == 1 else found


def _outs(out: Path, targets: tuple[float, ...]) -> list[Path]:
    """One file, or for each of several targets one with the target in its name."""
    if len(targets) < 2:
        return [out]
    return [out.with_name(f"{out.stem}-{target:.12g}{out.suffix}") for target in targets]


def _paths(by: str | None) -> list[Path]:
    return [] if by in (None, CLASS) else [Path(str(by))]


def _answer(choice: Choice, out: Path) -> dict[str, Any]:
    """A fit for programs."""
    s, g = choice.selection, choice.selection.guarantee
    answer: dict[str, Any] = {
        "feasible": s.feasible,
        "reason": s.reason,
        "score": str(choice.tuned.score),
        "objective": choice.tuned.objective,
        "rows": None if choice.cut is None else str(choice.cut),
        "guarantee": {"kind": g.kind, **g.to_dict()},
        **({"misses": [m.to_dict() for m in s.misses]} if s.misses else {}),
        "out": str(out) if choice.rejector else None,
    }
    if isinstance(s, SubgroupSelection):
        rules = [{"subgroup": name, **chosen.to_dict()} for name, chosen in s.selections.items()]
        return answer | {
            "by": s.by,
            "rules": rules,
            "subgroups": [row._asdict() for row in s.table],
        }
    names = ("threshold", "smallest_target", "rows_needed")
    return answer | {name: getattr(s, name) for name in names}


def _tell_fit(choices: tuple[Choice, ...], outs: list[Path]) -> None:
    used, rows = choices[0].selection.guarantee.n, len(choices[0].calibrate)
    if choices[0].cut is not None:
        terminal.say(str(choices[0].cut))
    if used < rows:
        terminal.say(f"Calibrate: one row of each of {used:,} groups, of {rows:,} rows.")
    terminal.say(f"{choices[0].tuned.reason}.")
    for choice, out in zip(choices, outs):
        selection, rejector = choice.selection, choice.rejector
        terminal.say(selection.reason)
        if isinstance(selection, SubgroupSelection):
            names = selection.names
            cells = decisions.subgroup_cells(selection.table, selection.by, names, limits=False)
            terminal.table(*cells)
        if rejector is None and out.exists():
            terminal.say(f"{out} is from an earlier fit and was left as it is.")
        if rejector:
            _tell_abstained(rejector, out)
            terminal.say(f"{_threshold(rejector)}, written to {out}.")
    if choices[0].cut is not None and of_classes(choices[0].calibrate.kind):
        terminal.say(decisions.beside_diagnose(choices[0].cut))


def _tell_abstained(rejector: Rejector, out: Path) -> None:
    """Why classes or subgroups have no threshold: the first few."""
    without = [rule for rule in rejector.rules if rule.reason and rule.subgroup is not None]
    for rule in without[:REASONS]:
        names = rejector.class_names if rejector.by == CLASS else None
        name = decisions.name_of(rule.subgroup, names)
        terminal.say(f"{rejector.by.capitalize()} {name}: {rule.reason}")
    if len(without) > REASONS:
        terminal.say(f"The reasons of {len(without) - REASONS:,} more are in {out}.")


def _threshold(rejector: Rejector) -> str:
    if rejector.by != ALL:
        accepting = sum(rule.threshold < np.inf for rule in rejector.rules)
        return f"Thresholds of {accepting:,} of {len(rejector.rules):,} {PLURALS[rejector.by]}"
    if rejector.guarantee.kind == "mean_cost":
        return "Decisions by costs"
    return f"Threshold {decisions.threshold(rejector.score, rejector.threshold)}"
