"""`recuse report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    by_columns,
    check_ending,
    read,
    refuse_overwrite,
    subgroups_of,
    warn,
)
from recuse.cli.options import (
    Binary,
    ClassNames,
    Delta,
    Force,
    IgnoreIndex,
    Json,
    Learned,
    Objective,
    Probs,
    Quiet,
    RepeatedIds,
    Seed,
    SubgroupTable,
    TargetRisk,
    kind_of,
    named,
)
from recuse.errors import InputError
from recuse.evaluation import Evaluation, ModelEvaluation, evaluate
from recuse.io import HeldOut
from recuse.io._stores import FORMATS
from recuse.io._tables import class_names_of
from recuse.present import terminal
from recuse.rejector import SUBGROUP, Rejector
from recuse.reports import Detail, details, need_report
from recuse.reports import report as write_report
from recuse.reports.details import image_of

SPLITS = ("tune", "calibrate", "test")


def report(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            metavar="NAME=FILE",
            help="A model, and its held-out file, cut as fit does. Or the folder of its tune, "
            "calibrate and test files or their prefix: DIR/net stands for "
            "DIR/net-tune.safetensors and so on. Repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    target_risk: TargetRisk = 0.05,
    delta: Delta = 0.05,
    objective: Objective = "aurc",
    learned: Learned = True,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    classes: ClassNames = None,
    by: SubgroupTable = None,
    repeated_ids: RepeatedIds = "refuse",
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="A folder with an image of each id, for the most confident errors."
        ),
    ] = None,
    scenes: Annotated[
        list[str],
        typer.Option(
            "--scenes", metavar="NAME=FILE", help="The scenes.npz of a segmentation recipe."
        ),
    ] = [],  # noqa: B006 - typer reads it
    rejector: Annotated[
        Path | None,
        typer.Option(
            "--rejector",
            help="The rejector that will be deployed: it is shown, and nothing is fitted. The "
            "file, or the test file, of the model is measured.",
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page that opens offline: curves, damage, repair, threshold and guarantee.

    Without --rejector, the rejector that is fitted and shown is written beside the page. If no
    model has a threshold with the guarantee, the page is written all the same, the answer says what
    would be feasible, and the exit code is 1.
    """
    refuse_overwrite(check_ending(out, ".html", ".htm"), force)
    need_report()
    given, saved = None, out.with_suffix(".json")
    if rejector is not None:
        given = Rejector.load(rejector)
        _check_subgroups(given, by)
    elif len(model) == 1:
        refuse_overwrite(saved, force)
    options: dict[str, Any] = {"kind": kind_of(binary, probs), "ignore_index": ignore_index}
    options["subgroups"] = by_columns(by)
    models = {
        name: _splits(Path(place), options, ("test",) if given else SPLITS)
        for name, place in named(model, "--model NAME=FILE").items()
    }
    if given is not None and given.by == SUBGROUP:
        models = {name: _with_subgroups(by, splits) for name, splits in models.items()}
    with terminal.working("scoring, choosing and drawing", quiet=quiet):
        evaluation = evaluate(
            models,
            target_risk=target_risk,
            delta=delta,
            objective=objective,
            learned=learned,
            seed=seed,
            repeated_ids=repeated_ids,
            rejector=given,
            by=by if given is not None and given.by == SUBGROUP else None,
            progress=False,
        )
        found = details(
            evaluation,
            models,
            classes=_names(classes, evaluation),
            subgroups=_subgroups(by, models),
            images=images,
            scenes=_scenes(scenes, evaluation),
            seed=seed,
            repeated_ids=repeated_ids,
        )
        write_report(evaluation, out, details=found)
        shown = evaluation.models[0].rejector if given is None and len(models) == 1 else None
        if shown is not None:
            shown.save(saved)
        elif given is None and len(models) == 1:
            saved.unlink(missing_ok=True)  # of an earlier page
    _warn_of_no_image(images, found)
    if as_json:
        written = [str(out)] + [str(saved)] * (shown is not None)
        print(to_json({"models": [_answer(m) for m in evaluation.models], "written": written}))
    elif not quiet:
        for m in evaluation.models:
            if not m.selection.feasible:
                terminal.say(f"{m.name}: {m.selection}")
        beside = "" if shown is None else f", with the rejector that it shows in {saved}"
        terminal.say(f"Written to {out}{beside}.")
    if not any(m.selection.feasible for m in evaluation.models):
        raise typer.Exit(1)


def _answer(m: ModelEvaluation) -> dict[str, Any]:
    """Return what the page says of a model, for programs."""
    return {
        "name": m.name,
        "n": m.n,
        "tested": m.tested,  # else these rows calibrate, and the errors are too few
        "accuracy": m.accuracy,
        "score": str(m.tuned.score),
        "feasible": m.selection.feasible,
        "rows": None if m.cut is None else str(m.cut),
        "accepted": m.accepted,
        "errors": m.errors,
        "guarantee": str(m.selection),
    }


def _check_subgroups(rejector: Rejector, by: str | None) -> None:
    """Require the column of subgroups where the thresholds of the rejector are theirs."""
    if rejector.by == SUBGROUP and by is None:
        raise InputError(
            "expected --by with the column of subgroups: this rejector has a threshold for each"
        )


def _splits(
    place: Path, options: dict[str, Any], splits: Sequence[str] = SPLITS
) -> dict[str, HeldOut]:
    """Read one file, also one of shards, or those of a folder or a prefix."""
    if _is_one(place):
        return {"calibrate": read(place, **options)}
    return {split: read(find(place, split), **options) for split in splits}


def _is_one(place: Path) -> bool:
    """Return whether a file is here, or a folder of shards and no file of a split."""
    if place.is_file() or "*" in place.name or place.suffix in FORMATS:
        return True
    shards = place.is_dir() and any(x.suffix in (*FORMATS, ".npy") for x in place.iterdir())
    return shards and not any(_is_there(x) for split in SPLITS for x in _paths(place, split))


def _names(path: Path | None, evaluation: Evaluation) -> Sequence[str] | None:
    """The names of the classes, the same for all models."""
    if path is None:
        return None
    names, *_ = (class_names_of(path, m.classes) for m in evaluation.models)
    return names


def _with_subgroups(by: Any, splits: Mapping[str, HeldOut]) -> dict[str, HeldOut]:
    """Return the files with the subgroups of their rows as a column."""
    return {
        split: replace(file, subgroups={**file.subgroups, by: subgroups_of(by, file)})
        for split, file in splits.items()
    }


def _subgroups(
    by: str | None, models: Mapping[str, Mapping[str, HeldOut]]
) -> dict[str, Any] | None:
    """The subgroup of every row that is measured."""
    if by is None:
        return None
    measured = {name: splits.get("test") or splits["calibrate"] for name, splits in models.items()}
    return {name: subgroups_of(by, file) for name, file in measured.items()}


def _warn_of_no_image(folder: Path | None, found: Mapping[str, Detail]) -> None:
    """Warn on stderr that no id of any model has an image."""
    if folder is None:
        return
    ids = [i for d in found.values() if d.ids is not None for i in d.ids]
    if not any(image_of(folder, str(i)) for i in ids):
        such = f", such as {ids[0]}" if ids else ": the test files have none"
        warn(f"{folder}: no image is named by an id{such}")


def _scenes(pairs: list[str], evaluation: Evaluation) -> dict[str, str]:
    """The scenes of each model, by its name."""
    given, known = named(pairs, "--scenes NAME=FILE"), [m.name for m in evaluation.models]
    if odd := sorted(set(given) - set(known)):
        raise InputError(f"expected --scenes of a model among {', '.join(known)}, got {odd[0]!r}")
    return given


def find(place: Path, split: str) -> Path:
    """Return the file of a split: in a folder, or with a prefix."""
    paths = _paths(place, split)
    for path in paths:
        if _is_there(path):
            return path
    raise InputError(f"{place}: expected a {split} file such as {paths[0]}, found none")


def _paths(place: Path, split: str) -> list[Path]:
    stems = [place / split] if place.is_dir() else []
    stems.append(place.parent / f"{place.name}-{split}")
    endings = (*FORMATS, "")  # a folder of .npy or of shards has none
    return [stem.parent / f"{stem.name}{ending}" for stem in stems for ending in endings]


def _is_there(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and not path.suffix)
