"""The results of recipes from their saved logits: `python -m benchmarks.recipes RUN... --out PAGE`.

RUN is a folder that `recuse train` wrote. Writes the page `docs/results-recipes.md`, or prints it.
Nothing is trained and nothing is chosen here by hand: every number comes from the logits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import recuse as rc
from recuse._files import write_text
from recuse.cli import over_seeds as words
from recuse.evaluation import ModelEvaluation, OverSeeds, Spread, over_seeds
from recuse.recipes import (
    SHIFT,
    Model,
    Recipe,
    comparable,
    describe,
    logits_of,
    models_of,
    recipe_named,
)
from recuse.sketch import CurveSketch

Files = dict[str, rc.io.LogitsFile]  # by split
HEAD = """# The published experiments, on real data

Generated from the logits that `recuse train` saved, by

```text
$ python -m benchmarks.recipes {runs} \\
    --out docs/results-recipes.md
```

The command that trained each run stands beside it, with what it ran on and how it was shortened;
[how to train them](how-to/recipes.md). Accuracy and coverage in percent;
± is the standard deviation over seeds; "chosen" is the score that `recuse.tune` took on the tune
split, which is MSP where no gain was shown; "alone" is what the norm that is best on the tune
split, or the learned score, would give without that fallback.

ImageNet, ViT, Cityscapes, CIFAR-100 and IMDB were not trained: their data or hours of a GPU were
not at hand. Their networks and loaders are tested one by one, on small trees.
"""
PICTURES = {
    "camvid-deeplab": (
        "\n![A road scene, and its errors coloured by how certain each model was of them]"
        "(images/camvid-scene.png)\n",
        "*One test scene, drawn by `python docs/picture_scene.py runs/camvid`: errors from pale "
        "(uncertain) to dark (among the surest pixels of the scene), right pixels grey, void "
        "white; the smoothed model by MSP and by the norm that is best on the tune split, whose "
        "gain its four seconds of video cannot show.*",
    )
}
PUBLISHED = """## The published table by source

Xia et al. (2024), figure 8: ResNet-50 on ImageNet, the first 10 % of 50,000 ImageNet and 50,889
ImageNet-Sketch images together. **Their numbers, not ours**; ours on CIFAR-10 and drawings of its
edges are above.

| | accepted, ImageNet | wrong | % | accepted, Sketch | wrong | % |
|---|---|---|---|---|---|---|
| cross entropy | 8,994 | 93 | 1.0 | 1,094 | 80 | 7.3 |
| smoothing 0.1 | 8,561 | 187 | 2.2 | 1,527 | 211 | 13.8 |
| smoothing 0.2 | 8,171 | 244 | 3.0 | 1,917 | 365 | 19.0 |
| smoothing 0.3 | 7,915 | 297 | 3.8 | 2,173 | 541 | 24.9 |

The other results of the paper are curves without numbers.
"""


def main() -> None:
    """One section a run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    names = " \\\n    ".join(f"runs/{run.name}" for run in args.runs)
    found = {run: over_seeds(files, kind=kind) for run, (files, kind) in read(args.runs).items()}
    sections = [section(run, found[run]) for run in args.runs]
    page = "\n".join([HEAD.format(runs=names), in_short(found), *sections, PUBLISHED])
    if args.out is None:
        print(page)
    else:
        write_text(args.out, page)


def read(runs: Sequence[Path]) -> dict[Path, tuple[dict[int, dict[str, Files]], str]]:
    """The files of each run, and what they hold."""
    recipes = {run: recipe_named(describe(run)["recipe"]) for run in runs}
    return {
        run: (logits_of(comparable(models_of(run)), recipe.kind), recipe.kind)
        for run, recipe in recipes.items()
    }


def in_short(found: Mapping[Path, OverSeeds]) -> str:
    """Models counted, each with each of its seeds, of label smoothing alone."""
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
    said = "In short, by AURC on the test split (in brackets: beyond the 95 % interval):\n\n"
    return said + markdown(header, rows)


def section(run: Path, found: OverSeeds) -> str:
    """What one run found."""
    recipe, models = recipe_named(describe(run)["recipe"]), models_of(run)
    runs = logits_of(comparable(models), recipe.kind)
    parts = [
        f"## {recipe.title}\n",
        how(run, recipe, models),
        f"{words.caption(found)}:\n",
        markdown(*without_fallback(found, runs)),
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
    """The table, and what the best norm and the learned score would do if they were not tested."""
    header, rows = words.table(found)
    two = found.evaluations[0].models[0].classes == 2  # no norm orders them otherwise
    families = {"learned": "AURC x 1000, learned alone"}
    families = families if two else {"logit_norm": "AURC x 1000, best norm alone"} | families
    for family in families:
        for i, model in enumerate(found.models):
            areas = [
                1000 * alone(m, runs[seed][m.name]["test"], family)
                for seed, m in zip(found.seeds, model.models)
            ]
            rows[i] = (*rows[i], words.spread(Spread.of(areas), 1))
    return (*header, *families.values()), rows


def alone(model: ModelEvaluation, test: rc.io.LogitsFile, family: str) -> float:
    """AURC on the test split of the family's best score by the tune split; NaN if there is none."""
    tried = [(area, score) for score, area in model.tuned.table if score.name == family]
    if not tried:
        return float("nan")
    _, score = min(tried, key=lambda pair: pair[0])
    logits, labels = test.labelled()
    return rc.aurc(score(logits), rc.scores.predict(logits) != labels)


def in_training_or_after(found: OverSeeds) -> Iterable[str]:
    """Does a loss that repairs in training make the repair afterwards unnecessary?"""
    for model in found.models:
        loss, _, strength = model.name.rpartition("-")
        smoothed = next((m for m in found.models if m.name == f"smoothing-{strength}"), None)
        if loss not in ("max-suppression", "margin") or smoothed is None:
            continue
        alone, after, again = (
            words.spread(m.spread(lambda e, side=side: 1000 * getattr(e, side).aurc), 1)
            for m, side in ((model, "before"), (smoothed, "after"), (model, "after"))
        )
        yield (
            f"{model.name} with MSP has an AURC x 1000 of {alone}; smoothing-{strength} repaired "
            f"afterwards has {after}; {model.name} with the score chosen for it has {again}."
        )


def how(run: Path, recipe: Recipe, models: Sequence[Model]) -> str:
    """Command, hardware, time, and what is not as published."""
    about = [json.loads((m.folder / "model.json").read_text("utf-8")) for m in models]
    one, settings = about[0], describe(run)
    seconds = [a["seconds"] for a in about]
    options = f"--seeds {len({a['seed'] for a in about})} --epochs {one['epochs']}"
    options += f" --precision {one['precision']}" if one["precision"] != "32-true" else ""
    data = " --data DATA" if recipe.data else ""
    trained = " and ".join(
        f"`recuse train {recipe.name}{data} --loss {loss} --smoothing {strengths} {options} "
        f"--out runs/{run.name}`"
        for loss, strengths in asked(about).items()
    )
    short = (
        f"**Shortened**: {one['epochs']} epochs of {one['of_epochs']}, rates over the same shares."
        if one["epochs"] != one["of_epochs"]
        else f"In full: {one['epochs']} epochs."
    )
    return (
        f"{trained}. {short} "
        f"{one['train']:,} training rows, {one['parameters']:,} parameters, batch "
        f"{settings['batch']}; {one['device']}, {one['threads']} thread, precision "
        f"{one['precision']}, torch {one['torch']}; {min(seconds):.0f} to {max(seconds):.0f} s a "
        f"model, beside other work. Settings: {recipe.source}. Published: {recipe.reference}.\n"
    )


def asked(about: Sequence[Mapping]) -> dict[str, str]:
    """Loss -> its strengths, cross entropy among them."""
    losses = sorted({a["loss"] for a in about if a["strength"]})
    return {
        loss: ",".join(
            f"{s:g}" for s in sorted({0.0, *(a["strength"] for a in about if a["loss"] == loss)})
        )
        for loss in losses
    }


def all_pixels(models: Sequence[Model]) -> Iterable[str]:
    """AURC of every labelled test pixel, by the sketches of the run."""
    for model in models:
        for path in sorted(model.folder.glob("all-pixels-*.npz")):
            sketch = CurveSketch.load(path)
            area = sketch.aurc()
            yield (
                f"{model.name}, seed {model.seed}, all {sketch.n:,} test pixels by sketch: AURC x "
                f"1000 between {1000 * area.low:.2f} and {1000 * area.high:.2f} with "
                f"{sketch.about['score'].partition('(')[0]}."
            )


def by_source(recipe: Recipe, models: Sequence[Model], found: OverSeeds) -> list[str]:
    """The table of figure 8 on our own second source, of the first seed."""
    having = [m for m in models if m.has(SHIFT)]
    if not having:
        return []
    table = markdown(*words.by_source(having, found, recipe.kind))
    return ["", "The first tenth of the test images and their drawings together, seed 0:\n", table]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; learned scores without their parameters."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
