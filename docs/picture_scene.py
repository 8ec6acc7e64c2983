"""Draw docs/images/camvid-scene.png: one road scene, its errors coloured by their rank.

python docs/picture_scene.py RUN

RUN is the output of `recuse train camvid-deeplab --data DATA --smoothing 0,0.2 --out RUN`. Draws
the saved test scene in which the smoothed model makes the most errors.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import recuse as rc
from recuse import plots
from recuse.recipes import Model, models_of
from recuse.scores import Score
from recuse.tuning import MSP

OUT = Path(__file__).parent / "images" / "camvid-scene.png"
VOID = 11
SMOOTHED = "smoothing-0.2"


def main() -> None:
    """Draw the scene, both models with MSP, and the smoothed one with its best norm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    found = {m.name: m for m in models_of(parser.parse_args().run) if m.seed == 0}
    norm = best_norm(found[SMOOTHED])
    scene = most_errors(found[SMOOTHED])
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(2, 2).flat
    ax = next(axes)
    ax.imshow(np.load(found[SMOOTHED].folder / "scenes.npz")["image"][scene])
    ax.set(xticks=[], yticks=[])
    for name, score in (("cross-entropy", MSP), (SMOOTHED, MSP), (SMOOTHED, norm)):
        ax = next(axes)
        data = ranked(found[name], score, scene)
        plots.scene.draw(data, ax)
        ax.set_title(f"{name}, {score}\n{ax.get_title()}", fontsize="small")
        print(f"{name}, {score}: {summary(data)}")
    bar = figure.colorbar(ax.images[-1], ax=figure.axes, shrink=0.8)
    bar.set_label("rank of an error's confidence in the scene")
    figure.savefig(OUT, dpi=90)


def best_norm(model: Model) -> Score:
    """Norm with the smallest AURC on the tuning split, whether or not its gain is significant."""
    file = rc.read(model.split("tune"))
    tuned = rc.tune(*file.labelled(), groups=file.groups, learned=False)
    norms = [(area, score) for score, area in tuned.table if score.name == "logit_norm"]
    return min(norms, key=lambda pair: pair[0])[1]


def most_errors(model: Model) -> int:
    """Index of the scene among the saved ones."""
    with np.load(model.folder / "scenes.npz") as saved:
        labels = saved["labels"]
        wrong = (saved["logits"].argmax(1) != labels) & (labels != VOID)
    return int(wrong.sum(axis=(1, 2)).argmax())


def ranked(model: Model, score: Score, scene: int) -> plots.scene.Scene:
    """Errors of a scene, ranked by a score."""
    with np.load(model.folder / "scenes.npz") as saved:
        z, y = saved["logits"][scene : scene + 1].astype(np.float32), saved["labels"][scene]
    return plots.scene.prepare(score(z)[0], z[0].argmax(0), y, ignore_index=VOID)


def summary(data: plots.scene.Scene) -> str:
    """Number of errors, and how many of them are in the more confident half of the scene."""
    ranks = data.rank[data.wrong]
    return f"{ranks.size:,} errors, {np.mean(ranks > 0.5):.1%} of them in the surer half"


if __name__ == "__main__":
    main()
