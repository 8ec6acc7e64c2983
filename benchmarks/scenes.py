"""Confidences of whole road scenes, side by side: `python -m benchmarks.scenes --zoo ZOO`.

Reads the test scenes that `python -m benchmarks.zoo --tasks camvid` writes. For each smoothing and
each loss of a scene: its AURC by each confidence, and the paired difference from the mean of pixel
MSP with its 95 % interval, in which scenes of one second of a video are a group.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recuse import aurc, images
from recuse.intervals import compare
from recuse.io import HeldOut, open_logits

BASE = "mean_msp"
Columns = dict[str, np.ndarray]


def columns(path: Path) -> tuple[Columns, Columns, np.ndarray]:
    """Return every confidence and every loss of the scenes of a file, and their groups."""
    parts = [scored(part) for part in open_logits(path).chunks()]
    each = [
        {name: np.concatenate([p[i][name] for p in parts]) for name in parts[0][i]} for i in (0, 1)
    ]
    return each[0], each[1], np.concatenate([p[2] for p in parts])


def scored(part: HeldOut) -> tuple[Columns, Columns, np.ndarray]:
    """Return the same of a part of a file."""
    z, y = part.labelled()
    confidences = {name: confidence(z) for name, confidence in images.CONFIDENCES.items()}
    void = part.ignore_index
    losses = {name: loss(z, y, ignore_index=void) for name, loss in images.LOSSES.items()}
    return confidences, losses, np.asarray(part.groups)


def cells(confidences: Columns, loss: np.ndarray, groups: np.ndarray) -> list[str]:
    """Return the mean loss, its AURC in the best order, and that by each confidence."""
    base = confidences[BASE]
    out = [f"{loss.mean():.4f}", f"{aurc(-loss, loss):.4f}", f"{aurc(base, loss):.4f}"]
    for name, confidence in confidences.items():
        if name != BASE:
            d = compare(confidence, loss, base, loss, groups=groups)
            apart = f"{d.difference:+.4f}, {d.low:+.4f} to {d.high:+.4f}"
            out.append(f"{aurc(confidence, loss):.4f} ({apart})")
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--zoo", type=Path, required=True, help="folder of the logits")
    paths = sorted(parser.parse_args().zoo.glob("camvid-*-test-scenes.safetensors"))
    others = [name for name in images.CONFIDENCES if name != BASE]
    head = ["smoothing", "seed", "loss", "mean", "best order", BASE, *others]
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for path in paths:
        _, smoothing, seed, *_ = path.name.split("-")
        confidences, losses, groups = columns(path)
        for name, loss in losses.items():
            said = [smoothing, seed, f"`{name}`", *cells(confidences, loss, groups)]
            print("| " + " | ".join(said) + " |", flush=True)
        print(f"{len(groups)} scenes, {np.unique(groups).size} groups", flush=True)


if __name__ == "__main__":
    main()
