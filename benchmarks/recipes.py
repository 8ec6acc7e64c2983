"""Results of recipes from their saved logits: `python -m benchmarks.recipes RUN... --out PAGE`.

RUN is a folder of `recuse train`. Writes the page `docs/results-recipes.md`, or prints it. Nothing
is trained or chosen by hand: every number comes from the logits.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import recuse as rc
from recuse._internal.files import write_text
from recuse.evaluation import ModelEvaluation, ModelOverSeeds, OverSeeds, Spread, over_seeds
from recuse.evaluation._mixture import shared_coverage
from recuse.present import over_seeds as words
from recuse.present.tuning import why_kept
from recuse.recipes import Model, Recipe, models_of, recipe_named
from recuse.recipes._models import SHIFT, comparable, describe, logits_of
from recuse.recipes._recipe import LABEL_SMOOTHING, SHUFFLED
from recuse.sketch import CurveSketch

Files = dict[str, rc.io.HeldOut]  # by split
HEAD = """# The published experiments, on real data

Generated from the logits that `recuse train` saved, by

```text
$ python -m benchmarks.recipes {runs} \\
    --out docs/results-recipes.md
```

Each section begins with the command that trained the run, the hardware, and how the training was
shortened ([how to train them](how-to/recipes.md)). Accuracy and coverage are in percent; ± is the
standard deviation over seeds. "Chosen" is the score that `recuse.tune` chose on the tuning split;
it is MSP if the gain of the learned score is within its standard error. "Alone" is the best norm on
the tuning split, or the learned score, without this fallback to MSP.

ImageNet, ViT, Cityscapes, CIFAR-100 and IMDB were not trained, for lack of data or GPU hours. Their
networks and loaders are tested separately, on small folders.
"""
BESIDE = "0.2"  # strength at which all losses were trained
OTHERS = ("margin", "max-suppression")
SIDES = {
    ("cross-entropy", "before"): "cross entropy, MSP",
    **{
        (f"{loss}-{BESIDE}", side): f"{loss}, {'MSP' if side == 'before' else 'repaired'}"
        for loss in ("smoothing", *OTHERS)
        for side in ("before", "after")
    },
}
PICTURES = {
    "camvid-deeplab": (
        "\n![A road scene, with errors coloured by the confidence of each model]"
        "(images/camvid-scene.png)\n",
        "*One test scene, drawn by `python docs/picture_scene.py runs/camvid`. Errors are pale "
        "where the model is uncertain and dark where it is among its most confident; right pixels "
        "are grey, void is white. The smoothed model is shown with MSP and with the best norm on "
        "the tuning split, whose gain cannot be significant on four seconds of video.*",
    )
}
PUBLISHED = """## The published tables by source

Xia et al. (2024): the most confident 10 % of 50,000 ImageNet and 50,889 ImageNet-Sketch images.
**These are their numbers**; ours, on CIFAR-10 and drawings of its edges, are above.

ResNet-50, figure 8:

| | accepted, ImageNet | wrong | % | accepted, Sketch | wrong | % |
|---|---|---|---|---|---|---|
| cross entropy | 8,994 | 93 | 1.0 | 1,094 | 80 | 7.3 |
| smoothing 0.1 | 8,561 | 187 | 2.2 | 1,527 | 211 | 13.8 |
| smoothing 0.2 | 8,171 | 244 | 3.0 | 1,917 | 365 | 19.0 |
| smoothing 0.3 | 7,915 | 297 | 3.8 | 2,173 | 541 | 24.9 |

ViT-S/16, figure 11:

| | accepted, ImageNet | wrong | % | accepted, Sketch | wrong | % |
|---|---|---|---|---|---|---|
| cross entropy | 9,528 | 88 | 0.9 | 560 | 43 | 7.7 |
| smoothing 0.1 | 9,332 | 130 | 1.4 | 756 | 83 | 11.0 |
| smoothing 0.2 | 9,117 | 177 | 1.9 | 971 | 164 | 16.9 |
| smoothing 0.3 | 8,966 | 208 | 2.3 | 1,122 | 195 | 17.4 |

The paper shows its other results as curves, without numbers.
"""


def main() -> None:
    """Write one section for each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    names = " \\\n    ".join(f"runs/{run.name}" for run in args.runs)
    found = {run: over_seeds(files, kind=kind) for run, (files, kind) in read(args.runs).items()}
    sections = [section(run, found[run]) for run in args.runs]
    page = "\n".join(
        [HEAD.format(runs=names), in_short(found), side_by_side(found), *sections, PUBLISHED]
    )
    if args.out is None:
        print(page)
    else:
        write_text(args.out, page)


def read(runs: Sequence[Path]) -> dict[Path, tuple[dict[int, dict[str, Files]], str]]:
    """Read the files of each run, and their input kind."""
    recipes = {run: recipe_named(describe(run)["recipe"]) for run in runs}
    return {
        run: (logits_of(comparable(models_of(run)), recipe.kind), recipe.kind)
        for run, recipe in recipes.items()
    }


def in_short(found: Mapping[Path, OverSeeds]) -> str:
    """Count the models of label smoothing, one for each seed."""
    rows = []
    for run, seen in found.items():
        models = [m for m in seen.models if m.name.startswith("smoothing-")]
        count = len(models) * len(seen.seeds)
        damage = [m.damage for m in models if m.damage]
        left = [m.left for m in models if m.left]
        rows.append(
            (
                recipe_named(describe(run)["recipe"]).title,
                str(count),
                f"{sum(d.worse for d in damage)} ({sum(d.clearly_worse for d in damage)})",
                f"{sum(m.adopted for m in models)}",
                f"{sum(m.repair.better for m in models)} "
                f"({sum(m.repair.clearly_better for m in models)})",
                f"{sum(d.better for d in left)}",
            )
        )
    header = (
        "smoothed models of",
        "trained",
        "MSP ranks worse than cross entropy",
        "repair adopted",
        "and better on test",
        "then below cross entropy with MSP",
    )
    said = "Summary, by AURC on the test split (in brackets: significant at 5 %):\n\n"
    return said + markdown(header, rows)


def side_by_side(found: Mapping[Path, OverSeeds]) -> str:
    """Compare losses that preserve the ranking with the repair: means over seeds."""
    rows = []
    for run, seen in found.items():
        areas = {m.name: m for m in seen.models}
        if not {f"{loss}-{BESIDE}" for loss in OTHERS} & set(areas):
            continue
        cells = [_area(areas.get(name), side) for name, side in SIDES]
        rows.append((recipe_named(describe(run)["recipe"]).title, *cells))
    said = (
        "\nDoes a loss that preserves the ranking make the repair unnecessary? Mean AURC x 1000 "
        f'over seeds, all losses at strength {BESIDE}; "repaired" is the chosen score:\n\n'
    )
    return said + markdown(("", *(title for title in SIDES.values())), rows)


def _area(model: ModelOverSeeds | None, side: str) -> str:
    if model is None:
        return "-"
    return f"{model.spread(lambda m: 1000 * getattr(m, side).aurc).mean:.1f}"


def section(run: Path, found: OverSeeds) -> str:
    """Return the section of one run."""
    recipe, models = recipe_named(describe(run)["recipe"]), models_of(run)
    runs = logits_of(comparable(models), recipe.kind)
    parts = [
        f"## {recipe.title}\n",
        how(run, recipe, models),
        f"{words.caption(found)}:\n",
        markdown(*without_fallback(found, runs)),
        *(f"- {sentence}" for sentence in not_learned(found)),
        *(f"- {sentence}" for sentence in words.story(found)),
        *(f"- {sentence}" for sentence in in_training_or_after(found)),
        *(f"- {sentence}" for sentence in all_pixels(models)),
        *by_source(recipe, models, found),
        *PICTURES.get(recipe.name, ()),
        "",
    ]
    return "\n".join(parts)


def without_fallback(
    found: OverSeeds, runs: Mapping[int, Mapping[str, Files]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table with the best norm and the learned score, without fallback."""
    _, header, rows = words.by_model(found)
    rows = list(rows)
    two = found.evaluations[0].models[0].classes == 2  # no norm orders them otherwise
    families = {"learned": "AURC x 1000, learned alone"}
    families = families if two else {"logit_norm": "AURC x 1000, best norm alone"} | families
    for family in families:
        for i, model in enumerate(found.models):
            areas = [
                1000 * alone(m, runs[seed][m.name], family)
                for seed, m in zip(found.seeds, model.models)
            ]
            rows[i] = (*rows[i], words.spread(Spread.of(areas), 1))
    return (*header, *families.values()), rows


def alone(model: ModelEvaluation, files: dict[str, rc.io.HeldOut], family: str) -> float:
    """Return the test AURC of the family's best score on the tuning split; NaN if there is none."""
    tune, test = files["tune"], files["test"]
    norms = family == "logit_norm"
    tuned = rc.tune(tune, learned=False) if norms else model.tuned
    tried = [(area, score) for score, area in tuned.table if score.name == family]
    if not tried:
        return float("nan")
    _, score = min(tried, key=lambda pair: pair[0])
    logits, labels = test.labelled()
    return rc.aurc(score(logits), rc.scores.predict(logits) != labels)


def in_training_or_after(found: OverSeeds) -> Iterable[str]:
    """Compare each loss that preserves the ranking with the repair of label smoothing."""
    for model in found.models:
        loss, _, strength = model.name.rpartition("-")
        smoothed = next((m for m in found.models if m.name == f"smoothing-{strength}"), None)
        if loss not in OTHERS or smoothed is None:
            continue
        alone, after, again = (
            words.spread(m.spread(lambda e, side=side: 1000 * getattr(e, side).aurc), 1)
            for m, side in ((model, "before"), (smoothed, "after"), (model, "after"))
        )
        yield (
            f"AURC x 1000: {alone} for {model.name} with MSP, {after} for smoothing-{strength} "
            f"repaired, {again} for {model.name} with its chosen score."
        )


def how(run: Path, recipe: Recipe, models: Sequence[Model]) -> str:
    """Return command, hardware, time, and differences from the publication."""
    about = [json.loads((m.folder / "model.json").read_text("utf-8")) for m in models]
    settings = describe(run)
    options = given(recipe, settings, about)
    trained = " and ".join(
        f"`recuse train {recipe.name} --loss {loss} --smoothing {strengths} {options} "
        f"--out runs/{run.name}`"
        for loss, strengths in asked(about).items()
    )
    changed = changes(recipe, settings)
    label = "Shortened" if settings["epochs"] < recipe.epochs else "Changed"
    seconds = [a["seconds"] for a in about if a["seconds"] is not None]
    parts = (
        f"{trained}. {f'**{label}**: {changed}.' if changed else 'In full.'}",
        f"{span([a['train'] for a in about])} training rows, "
        f"{span([a['parameters'] for a in about])} parameters, {settings['epochs']} epochs, batch "
        f"{settings['batch']}, precision {settings['precision']}; {hardware(about)};",
        f"{span(seconds)} s per model, on a machine with other load.",
        f"Settings: {recipe.source}{f', but: {recipe.differs}' if recipe.differs else ''}.",
        f"Published: {recipe.reference}.\n",
    )
    return " ".join(parts)


def given(recipe: Recipe, settings: Mapping, about: Sequence[Mapping]) -> str:
    """Return the options of the command, from `run.json` and the models."""
    kept = settings.get("classes")
    processes = max(a["processes"] for a in about)
    values = {
        "--data": "DATA" if recipe.data else None,
        "--seeds": len({a["seed"] for a in about}),
        "--epochs": settings["epochs"],
        "--batch": settings["batch"] if settings["batch"] != recipe.batch else None,
        "--order": settings["order"] if settings["order"] != SHUFFLED else None,
        "--label-noise": settings.get("label_noise") or None,
        "--only": ",".join(map(str, kept)) if kept else None,
        "--precision": settings["precision"] if settings["precision"] != "32-true" else None,
        "--devices": processes if processes > 1 else None,
    }
    return " ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def changes(recipe: Recipe, settings: Mapping) -> str:
    """Return the differences from the recipe, "" if there are none."""
    kept = settings.get("classes")
    found = {
        f"{settings['epochs']} of {recipe.epochs} epochs, with the same shape of the schedule": (
            settings["epochs"] != recipe.epochs
        ),
        f"batch {settings['batch']} instead of {recipe.batch}": settings["batch"] != recipe.batch,
        f"rows {settings['order']}": settings["order"] != SHUFFLED,
        f"{100 * (settings.get('label_noise') or 0):g} % of the labels wrong": (
            settings.get("label_noise")
        ),
        f"{len(kept or ())} classes only": kept,
    }
    return "; ".join(said for said, so in found.items() if so)


def hardware(about: Sequence[Mapping]) -> str:
    """Describe the machine of the models, or each machine with the number of its models."""
    found = Counter(
        f"{a['device']}, {a['threads']} thread{'s' * (a['threads'] > 1)}"
        f"{f', {n} processes' if (n := a['processes']) > 1 else ''}, torch {a['torch']}"
        for a in about
    )
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{count} models on {machine}" for machine, count in found.items())


def span(values: Sequence[float]) -> str:
    """Return one number, or the smallest to the largest.

    >>> span([0.4, 4567.8]), span([5, 5]), span([])
    ('0.4 to 4,568', '5', '?')
    """
    two = (min(values), max(values)) if values else ()
    ends = [f"{x:,.0f}" if x >= 1 else f"{x:.1g}" for x in two] or ["?"]
    return " to ".join(dict.fromkeys(ends))


def asked(about: Sequence[Mapping]) -> dict[str, str]:
    """Return loss -> its strengths, with cross entropy."""
    losses = sorted({a["loss"] for a in about if a["strength"]} or {LABEL_SMOOTHING})
    return {
        loss: ",".join(
            f"{s:g}" for s in sorted({0.0, *(a["strength"] for a in about if a["loss"] == loss)})
        )
        for loss in losses
    }


def not_learned(found: OverSeeds) -> Iterable[str]:
    """Explain gaps in the column of learned scores."""
    for model in found.models:
        for seed, one in zip(found.seeds, model.models):
            if not any(score.name == "learned" for score, _ in one.tuned.table):
                reason = why_kept(one.tuned.facts)
                yield f"{model.name}, seed {seed}: no score was learned: {reason}."


def all_pixels(models: Sequence[Model]) -> Iterable[str]:
    """Return the AURC of all labelled test pixels, from the sketches of the run."""
    for model in models:
        for path in sorted(model.folder.glob("all-pixels-*.npz")):
            sketch = CurveSketch.load(path)
            area = sketch.aurc()
            yield (
                f"{model.name}, seed {model.seed}, sketch of all {sketch.n:,} test pixels: AURC x "
                f"1000 between {1000 * area.low:.2f} and {1000 * area.high:.2f} with "
                f"{sketch.about['score'].partition('(')[0]}."
            )


def by_source(recipe: Recipe, models: Sequence[Model], found: OverSeeds) -> list[str]:
    """Return the table of figure 8 for our own second source, of the first seed."""
    having = [m for m in models if m.has(SHIFT)]
    if not having:
        return []
    seed = found.seeds[0]
    first = logits_of([m for m in having if m.seed == seed], recipe.kind, ("test", SHIFT))[seed]
    scores = {m.name: m.tuned.score for m in found.evaluations[0].models}
    _, *table = words.shared_coverage(shared_coverage(first, scores))
    said = "The most confident tenth of test images and drawings together, seed 0:\n"
    return ["", said, markdown(*table)]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
