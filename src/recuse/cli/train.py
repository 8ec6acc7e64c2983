"""`recuse train` and `recuse recipes`: from data to a report, over losses and seeds."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import to_json
from recuse.cli.options import Delta, Json, Quiet, Seeds, TargetRisk, numbers
from recuse.diagnosis import diagnose
from recuse.errors import InputError
from recuse.evaluation import OverSeeds, over_seeds
from recuse.evaluation._mixture import shared_coverage
from recuse.io import HeldOut
from recuse.present import over_seeds as words
from recuse.present import terminal
from recuse.present.text import Table
from recuse.recipes import RECIPES, Model, Recipe, Settings, models_of, recipe_named, run, variants
from recuse.recipes._logits import Experiment, shifted, sketches
from recuse.recipes._models import SHIFT, comparable, logits_of
from recuse.recipes._recipe import LOSSES, PIXELS, TERMINATED, is_helper, started
from recuse.reports import details, need_report, report
from recuse.scores import Score
from recuse.sketch import CurveSketch
from recuse.tuning import MSP


def recipes(as_json: Json = False) -> None:
    """List the experiments of `recuse train`: data, cost and published result."""
    if as_json:
        print(to_json([_described(recipe) for recipe in RECIPES.values()]))
        return
    for recipe in RECIPES.values():
        terminal.say(f"{recipe.name}: {recipe.title}")
        terminal.say(f"    data       {recipe.data or 'none to get: inside scikit-learn'}")
        terminal.say(
            f"    training   {recipe.epochs} epochs, batch {recipe.batch}; {recipe.source}"
        )
        if recipe.differs:
            terminal.say(f"    differs    {recipe.differs}")
        terminal.say(f"    cost       {recipe.cost}")
        terminal.say(f"    published  {recipe.reference}")
    terminal.say()
    terminal.say("Begin with: recuse train digits-pairs")


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe that `recuse recipes` lists.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data; nothing is downloaded.")
    ] = None,
    smoothing: Annotated[
        list[str],
        typer.Option(
            "--smoothing",
            help="Strengths of the loss, such as 0,0.1,0.2; 0 is plain cross entropy. By default "
            "those of the recipe.",
        ),
    ] = [],  # noqa: B006 - typer reads it
    loss: Annotated[
        str, typer.Option("--loss", help=f"One or more of {', '.join(LOSSES)}.")
    ] = "label_smoothing",
    seeds: Seeds = 1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; by default runs/RECIPE.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="Number of epochs; by default as published.", min=1),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Rows of a batch, over all processes.", min=1)
    ] = None,
    order: Annotated[
        str, typer.Option("--order", help="shuffled, or sorted (class after class).")
    ] = "shuffled",
    label_noise: Annotated[
        float | None,
        typer.Option("--label-noise", help="Fraction of training labels to make wrong."),
    ] = None,
    only: Annotated[list[str], typer.Option("--only", help="Classes to keep, such as 0,1,2.")] = [],  # noqa: B006
    target_risk: TargetRisk = 0.05,
    delta: Delta = 0.05,
    accelerator: Annotated[
        str,
        typer.Option("--accelerator", help="auto, cpu, gpu or another accelerator of Lightning."),
    ] = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices",
            help="Processes that share each batch; by default those that torchrun started, or 1.",
            min=1,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="32-true, 16-mixed or bf16-mixed.")
    ] = "32-true",
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that read images.", min=0)
    ] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train each loss with each seed, save the logits, measure the damage, repair and report.

    The same command resumes a run that was stopped. More losses, strengths or seeds are added to
    what is there; the page shows all models in the folder that have these seeds.
    """
    check_fraction(target_risk, "target_risk"), check_delta(delta)
    need_report()
    known = recipe_named(recipe)
    folder = out or Path("runs") / known.name
    if data is not None and not known.data:
        raise InputError(f"expected no --data with {known.name}, whose data are in scikit-learn")
    options = _options(known, label_noise, only)
    screen = terminal.console(stderr=True)
    settings = Settings(
        epochs=epochs or known.epochs,
        batch=batch or known.batch,
        order=order,
        accelerator=accelerator,
        devices=devices or started() or 1,
        precision=precision,
        workers=workers,
        tensorboard=tensorboard,
        progress=screen.is_terminal and not quiet,
    )
    wanted = variants(
        tuple(loss.split(",")), numbers(smoothing, known.smoothings, "smoothing"), known
    )
    with _resumable():
        run(
            known,
            data,
            wanted,
            range(seeds),
            folder,
            settings,
            options=options,
            **({} if quiet else {"on_model": _announce}),
        )
        if not is_helper():
            models = comparable(models_of(folder), range(seeds))
            of = Experiment(known, data, settings, options)
            _evaluate(of, folder, models, target_risk, delta, as_json=as_json, quiet=quiet)


@contextmanager
def _resumable() -> Generator[None]:
    """End with 130 on Ctrl-C and 143 on SIGTERM, and say that the run can be resumed."""
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not is_helper():
            print("recuse: stopped; the same command resumes the run", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(*_: Any) -> None:
    """Turn SIGTERM into an exit, at any moment."""
    raise SystemExit(TERMINATED)


def _evaluate(
    of: Experiment,
    folder: Path,
    models: Sequence[Model],
    target_risk: float,
    delta: float,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate the models; print tables and sentences, and write the page."""
    recipe = of.recipe
    files = logits_of(models, recipe.kind)
    with terminal.working("evaluating all models", quiet=quiet):
        found = over_seeds(
            files, target_risk=target_risk, delta=delta, kind=recipe.kind, progress=False
        )
    diagnoses = [
        f"{name}: {_diagnosed(splits['tune'], recipe.kind)}" for name, splits in files[0].items()
    ]
    with terminal.working("all pixels of the test split", quiet=quiet or recipe.output != PIXELS):
        pixels = sketches(of, models, lambda m: _scores(found, m))
    sentences = [*words.story(found), *map(_of_all_pixels, pixels, pixels.values()), *diagnoses]
    tables = [words.by_model(found, recipe.title)]
    if shifted(of, models):
        said = "The tenth accepted first, of the test split and another source together"
        seed, first = found.seeds[0], found.evaluations[0]
        beside = [m for m in models if m.seed == seed]
        sources = logits_of(beside, recipe.kind, ("test", SHIFT))[seed]
        rows = shared_coverage(sources, {m.name: m.tuned.score for m in first.models})
        tables.append(words.shared_coverage(rows, f"{said}, seed {found.seeds[0]}"))
    _report(recipe, folder, found, files[0], sentences, tables, as_json=as_json, quiet=quiet)


def _report(
    recipe: Recipe,
    folder: Path,
    found: OverSeeds,
    files: Mapping[str, Mapping[str, HeldOut]],
    sentences: Sequence[str],
    tables: Sequence[Table],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the page of the first seed, and print the table of all seeds."""
    page = folder / "report.html"
    first = found.evaluations[0]
    more = details(first, files, seed=found.seeds[0])
    title = f"{recipe.title}: seed {found.seeds[0]}"
    report(first, page, title=title, tables=tables, details=more)
    if as_json:
        print(to_json({"recipe": recipe.name, "story": sentences, **found.to_dict()}))
    elif not quiet:
        for shown in tables:
            terminal.table(shown.header, shown.rows, title=shown.caption)
        for sentence in sentences:
            terminal.say(f"- {sentence}")
        terminal.say(f"Written: {page}, and {folder}/MODEL/seed-N with the logits of each model.")


def _options(recipe: Recipe, label_noise: float | None, only: list[str]) -> dict[str, Any]:
    """Return the options of the data; refuse those that the recipe does not have."""
    given = {"label_noise": label_noise, "classes": _whole(numbers(only, (), "only")) or None}
    found = {name: value for name, value in given.items() if value is not None}
    for name in found:
        if name not in recipe.options:
            having = [r.name for r in RECIPES.values() if name in r.options]
            option = {"label_noise": "--label-noise", "classes": "--only"}[name]
            raise InputError(f"expected {option} with {', '.join(having)}, got {recipe.name}")
    return found


def _whole(values: tuple[float, ...]) -> list[int]:
    """Check that the classes are whole numbers."""
    for value in values:
        if value % 1:
            raise InputError(f"expected --only with whole numbers, got {value:g}")
    return [int(value) for value in values]


def _announce(model: Model, place: int, count: int) -> None:
    """Print which model is being trained, of how many."""
    if not is_helper():
        terminal.console(stderr=True).print(
            f"training {model.name}, seed {model.seed} ({place} of {count})"
        )


def _diagnosed(file: HeldOut, kind: str) -> str:
    """Return the verdict on one model, from its tuning split."""
    logits, labels = file.predictions().labelled()
    return diagnose(logits, labels, groups=file.predictions().groups, kind=kind).sentence


def _scores(found: OverSeeds, model: Model) -> list[Score]:
    """Return MSP and the score that was chosen for this model, if it is another."""
    chosen = found.evaluations[found.seeds.index(model.seed)][model.name].tuned.score
    return [MSP] if chosen == MSP else [MSP, chosen]


def _of_all_pixels(model: Model, curves: Sequence[CurveSketch]) -> str:
    """Return the areas of every labelled pixel, not only of those that were sampled."""
    areas = {sketch.about["score"]: sketch.aurc() for sketch in curves}
    return words.all_pixels(model.name, model.seed, curves[0].n, areas)


def _described(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data for JSON."""
    names = (
        "name",
        "title",
        "data",
        "epochs",
        "batch",
        "smoothings",
        "cost",
        "reference",
        "source",
        "differs",
    )
    return {name: getattr(recipe, name) for name in names}
