"""`run`: every loss and seed of a recipe, each into a folder that the other commands read.

RUN/run.json                    what must not change when the run goes on
RUN/<model>/seed-<seed>/        tune, calibrate and test logits, weights, log, model.json
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recuse._check import InputError
from recuse._files import to_json, write_text
from recuse._version import __version__
from recuse.recipes._losses import Variant
from recuse.recipes._recipe import PIXELS, Recipe
from recuse.recipes._settings import Settings, is_helper

if TYPE_CHECKING:
    from torch import nn

    from recuse.recipes.data import Parts
    from recuse.scores import Score
    from recuse.sketch import CurveSketch

RUN, MODEL = "run.json", "model.json"
SHIFT = "shift"  # the name of the split from another source


@dataclass(frozen=True)
class Model:
    """A trained model: what it is and where its files are."""

    variant: Variant
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Of its loss."""
        return self.variant.name

    def split(self, name: str) -> Path:
        """The logits file of a split.

        Raises:
            InputError: There is none.
        """
        found = [path for path in map(self.folder.joinpath, _names(name)) if path.exists()]
        if not found:
            raise InputError(f"{self.folder}: expected a logits file of the {name} split, got none")
        return found[0]

    def has(self, name: str) -> bool:
        """Whether there are logits of this split."""
        return any((self.folder / file).exists() for file in _names(name))

    @property
    def done(self) -> bool:
        """Whether it is trained and all its logits are saved."""
        return (self.folder / MODEL).exists()


def run(
    recipe: Recipe,
    data: Path | None,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    out: Path,
    settings: Settings,
    *,
    options: Mapping[str, Any] | None = None,
    on_model: Callable[[Model], None] = lambda model: None,
) -> list[Model]:
    """Train what is not trained yet; the same call again goes on where it was stopped.

    Args:
        recipe: What to train.
        data: Folder of the data; None where the recipe needs none.
        variants: Losses.
        seeds: Of splits, initialisation and batches: each loss is trained with each seed.
        out: The run's folder.
        settings: Of the training.
        options: Of the data, as the recipe names them.
        on_model: Called before each model that is to be trained.

    Raises:
        InputError: `out` holds a run of something else, this machine or a loss cannot do what is
            asked, or data are missing or malformed.
    """
    from recuse.recipes._train import check_training

    options = {**recipe.options, **(options or {})}
    check_training(recipe, variants, settings)
    about = _about(recipe, settings, options)
    if not is_helper():
        _check_same(out, about)
    models = []
    for seed in seeds:
        todo = [Model(v, seed, out / v.name / f"seed-{seed}") for v in variants]
        models += todo
        if all(model.done for model in todo):
            continue
        parts = recipe.load(data, seed=seed, **options)
        if not is_helper():
            write_text(out / RUN, to_json({**about, "recuse": __version__}) + "\n")
        for model in todo:
            if not model.done:
                on_model(model)
                _train_and_save(recipe, parts, model, settings)
    return models


def sketches(
    recipe: Recipe,
    data: Path | None,
    models: Sequence[Model],
    scores: Callable[[Model], Sequence[Score]],
    settings: Settings,
    *,
    options: Mapping[str, Any] | None = None,
) -> dict[Model, list[CurveSketch]]:
    """The curves of every labelled test pixel, by each score; saved beside the logits.

    With them a few whole scenes, for pictures. Empty for recipes of something else than pixels.
    """
    from recuse.recipes._logits import save_scenes, sketch_pixels

    if recipe.output != PIXELS:
        return {}
    found = {}
    device = device_of(settings)
    for model, parts, network in _reloaded(recipe, data, models, options):
        wanted = scores(model)
        void = parts.ignore_index
        found[model] = sketch_pixels(recipe, network, parts.test, void, wanted, device)
        save_scenes(recipe, network, parts.test, model.folder / "scenes.npz", device)
        for score, sketch in zip(wanted, found[model]):
            sketch.save(model.folder / f"all-pixels-{score.name}.npz")
    return found


def shifted(
    recipe: Recipe,
    data: Path | None,
    models: Sequence[Model],
    settings: Settings,
    *,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Save the logits of the same classes from another source, such as drawings, as `shift`.

    Returns:
        Whether the recipe has such a source, and its data are there.
    """
    from recuse.recipes._logits import Place, save_part

    if recipe.shift is None:
        return False
    todo = [model for model in models if not model.has(SHIFT)]
    device = device_of(settings)
    for model, parts, network in _reloaded(recipe, data, todo, options):
        part = recipe.shift(data, parts)
        if part is None:
            return False
        first = sum(len(p.data) for p in (parts.tune, parts.calibrate, parts.test))
        place = Place(model.folder, SHIFT, model.seed, first)
        save_part(recipe, network, part, parts.ignore_index, place, device)
    return True


def _reloaded(
    recipe: Recipe,
    data: Path | None,
    models: Sequence[Model],
    options: Mapping[str, Any] | None,
) -> Iterator[tuple[Model, Parts, nn.Module]]:
    """Trained models with the data of their seed."""
    from recuse.recipes._train import trained

    for seed in sorted({model.seed for model in models}):
        parts = recipe.load(data, seed=seed, **{**recipe.options, **(options or {})})
        for model in (m for m in models if m.seed == seed):
            yield model, parts, trained(recipe, parts, model.folder)


def models_of(out: Path) -> list[Model]:
    """The finished models of a run, by loss and seed.

    Raises:
        InputError: No run is there.
    """
    describe(out)
    found = []
    for path in sorted(out.glob(f"*/seed-*/{MODEL}")):
        about = json.loads(path.read_text(encoding="utf-8"))
        found.append(Model(Variant(about["loss"], about["strength"]), about["seed"], path.parent))
    return sorted(found, key=lambda m: (m.variant.loss, m.variant.strength, m.seed))


def describe(out: Path) -> dict[str, Any]:
    """What `run.json` says."""
    try:
        return json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{out}: expected a folder that `recuse train` wrote") from error


def _names(split: str) -> tuple[str, str]:
    """What the file of a split may be called."""
    return f"{split}.safetensors", f"{split}.npz"


def _about(recipe: Recipe, settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change when a run goes on."""
    return {
        "recipe": recipe.name,
        "epochs": settings.epochs,
        "batch": settings.batch,
        "order": settings.order,
        "precision": settings.precision,
        **options,
    }


def _check_same(out: Path, about: Mapping[str, Any]) -> None:
    """Make sure that the folder is new, or of the same training."""
    if not (out / RUN).exists():
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: expected a new folder or one of `recuse train`")
        return
    there = describe(out)
    for name, value in json.loads(to_json(about)).items():
        if there.get(name) != value:
            raise InputError(
                f"{out}: holds a run with {name} = {there.get(name)}, got {value}: "
                "expected the same training, or another --out"
            )


def _train_and_save(recipe: Recipe, parts: Parts, model: Model, settings: Settings) -> None:
    from recuse.recipes._logits import save_logits
    from recuse.recipes._train import train_model

    start = time.perf_counter()
    network = train_model(recipe, parts, model.variant, model.seed, model.folder, settings)
    if is_helper():
        return
    seconds = time.perf_counter() - start
    save_logits(recipe, network, parts, model.seed, model.folder, device_of(settings))
    about = {
        "loss": model.variant.loss,
        "strength": model.variant.strength,
        "seed": model.seed,
        "epochs": settings.epochs,
        "of_epochs": recipe.epochs,
        "batch": settings.batch,
        "train": len(parts.train.data),
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": round(seconds, 1),  # since the last interruption
        **hardware(settings),
    }
    write_text(model.folder / MODEL, to_json(about) + "\n")


def device_of(settings: Settings) -> str:
    """Where logits are computed."""
    import torch

    wanted = settings.accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def hardware(settings: Settings) -> dict[str, Any]:
    """What it ran on."""
    import torch

    device = device_of(settings)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return {
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "processes": settings.devices,
        "precision": settings.precision,
        "torch": torch.__version__,
    }
