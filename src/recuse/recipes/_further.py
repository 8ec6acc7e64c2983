"""What trained networks give beyond the logits of the three splits: all pixels, another source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recuse.recipes._models import SHIFT, Model, check_data
from recuse.recipes._recipe import PIXELS, Recipe
from recuse.recipes._settings import Settings, device_of
from recuse.scores import Score
from recuse.sketch import CurveSketch

if TYPE_CHECKING:
    from torch import nn

    from recuse.recipes.data import Parts

SCENES = "scenes.npz"


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
    found = {model: _sketched(model, scores(model)) for model in models}
    todo = [model for model, there in found.items() if not there]
    device = device_of(settings)
    for model, parts, network in _reloaded(recipe, data, todo, options):
        wanted, void = scores(model), parts.ignore_index
        found[model] = sketch_pixels(recipe, network, parts.test, void, wanted, device)
        save_scenes(recipe, network, parts.test, model.folder / SCENES, device)
        for score, sketch in zip(wanted, found[model]):
            sketch.save(_place(model, score))
    return found


def _sketched(model: Model, scores: Sequence[Score]) -> list[CurveSketch]:
    """What an earlier call saved, if all of it is there."""
    paths = [_place(model, score) for score in scores]
    if not all(path.exists() for path in [*paths, model.folder / SCENES]):
        return []
    found = [CurveSketch.load(path) for path in paths]
    same = [sketch.about.get("score") for sketch in found] == [str(score) for score in scores]
    return found if same else []


def _place(model: Model, score: Score) -> Path:
    return model.folder / f"all-pixels-{score.name}.npz"


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
    from recuse.recipes.data import digest_of

    for seed in sorted({model.seed for model in models}):
        parts = recipe.load(data, seed=seed, **{**recipe.options, **(options or {})})
        check_data(models[0].run, seed, digest_of(parts))
        for model in (m for m in models if m.seed == seed):
            yield model, parts, trained(recipe, parts, model.folder)
