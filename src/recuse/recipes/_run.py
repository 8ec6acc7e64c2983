"""`run`: train every loss with every seed, each model into a folder of its own."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recuse._internal.files import to_json, write_text
from recuse._version import __version__
from recuse.errors import InputError
from recuse.recipes._logits import save_logits
from recuse.recipes._models import DATA, MODEL, RUN, Model, check_data, describe
from recuse.recipes._recipe import Recipe, Settings, Variant, is_helper

if TYPE_CHECKING:
    from recuse.recipes.data import Parts


def run(
    recipe: Recipe,
    data: Path | None,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    out: Path,
    settings: Settings,
    *,
    options: Mapping[str, Any] | None = None,
    on_model: Callable[[Model, int, int], None] = lambda model, place, count: None,
) -> list[Model]:
    """Train the models that are not trained yet, and save their logits.

    If the call is interrupted, the same call resumes it.

    Args:
        recipe: The experiment.
        data: Folder of the data; None if the recipe needs none.
        variants: Losses and strengths.
        seeds: Seeds of splits, initialisation and batches; each loss is trained with each.
        out: Folder of the run.
        settings: Training settings that the recipe leaves open.
        options: Options of the data, as the recipe names them.
        on_model: Called with (model, i, number of models) before the i-th model is trained.

    Returns:
        All models that were asked for, by seed.

    Raises:
        InputError: `out` holds another run or a run on other data, this machine or a loss does
            not support what is asked, or data are missing or malformed.
        KeyboardInterrupt: Ctrl-C.
        SystemExit: SIGTERM, with code 143.
    """
    from recuse.recipes._train import check_training
    from recuse.recipes.data._parts import digest_of

    options = {**recipe.options, **(options or {})}
    check_training(recipe, variants, settings)
    about = {
        "recipe": recipe.name,
        "epochs": settings.epochs,
        "batch": settings.batch,
        "order": settings.order,
        "precision": settings.precision,
        **options,
    }
    if not is_helper():
        _check_same(out, about)
    models = [Model(v, seed, out / v.name / f"seed-{seed}") for seed in seeds for v in variants]
    todo = [model for model in models if not model.done]
    places = count(1)
    for seed, of_seed in groupby(todo, key=lambda model: model.seed):
        parts = recipe.load(data, seed=seed, **options)
        if not is_helper():
            _note(out, about, seed, digest_of(parts))
        for model in of_seed:
            on_model(model, next(places), len(todo))
            _train_and_save(recipe, parts, model, settings)
    return models


def _check_same(out: Path, about: Mapping[str, Any]) -> None:
    """Check that the folder is new or holds the same training."""
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


def _note(out: Path, about: Mapping[str, Any], seed: int, data: str) -> None:
    """Write the settings and the digest of this seed's data to `run.json`."""
    known = {}
    if (out / RUN).exists():
        check_data(out, seed, data)
        known = describe(out).get(DATA, {})
    noted = {**about, DATA: {**known, str(seed): data}, "recuse": __version__}
    write_text(out / RUN, to_json(noted) + "\n")


def _train_and_save(recipe: Recipe, parts: Parts, model: Model, settings: Settings) -> None:
    from recuse.recipes._train import seconds_of, train_model

    network = train_model(recipe, parts, model.variant, model.seed, model.folder, settings)
    if is_helper():
        return
    save_logits(recipe, network, parts, model.seed, model.folder, settings.device)
    about = {
        "loss": model.variant.loss,
        "strength": model.variant.strength,
        "seed": model.seed,
        "epochs": settings.epochs,
        "of_epochs": recipe.epochs,
        "batch": settings.batch,
        "train": len(parts.train.data),
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": seconds_of(model.folder),
        **_hardware(settings),
    }
    write_text(model.folder / MODEL, to_json(about) + "\n")


def _hardware(settings: Settings) -> dict[str, Any]:
    """Describe the machine for `model.json`."""
    import torch

    name = torch.cuda.get_device_name() if settings.device == "cuda" else platform.machine()
    return {
        "device": f"{settings.device} ({name})",
        "threads": torch.get_num_threads(),
        "processes": settings.devices,
        "precision": settings.precision,
        "torch": torch.__version__,
    }
