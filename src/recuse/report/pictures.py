"""Pictures inside the page: thumbnails of errors, and segmented scenes.

S = scenes, K = classes, h, w = of the image, H, W = of the logits.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._check import InputError, extra
from recuse.plots import scene
from recuse.report.notation import percent
from recuse.scores import Score, predict

if TYPE_CHECKING:
    from jaxtyping import Float16, Int, UInt8
    from numpy import ndarray as Array

SIDE = 72  # pixels of a thumbnail's longer side
SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp")
VOID = -1
FIELDS = ("image", "logits", "labels", "item")


class Picture(NamedTuple):
    """An image as a data URI, and what it shows in words."""

    image: str
    text: str


def thumbnail(folder: Path, name: str) -> str | None:
    """The image of an id inside a folder, made small; None where there is none.

    An id is untrusted: a path that leaves the folder is no image of it.
    """
    image = extra("PIL.Image", "vision", "--images")
    root = folder.resolve()
    paths = [(root / f"{name}{suffix}").resolve() for suffix in SUFFIXES]
    found = [p for p in paths if p.is_relative_to(root) and p.is_file()]
    if not found:
        return None
    try:
        with image.open(found[0]) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError) as error:
        raise InputError(f"{found[0]}: cannot be read as an image ({error})") from error
    small.thumbnail((SIDE, SIDE))
    held = io.BytesIO()
    small.save(held, "JPEG", quality=80)
    return _uri("jpeg", held.getvalue())


class Scenes(NamedTuple):
    """What a recipe saves of a few segmented images."""

    image: UInt8[Array, "S h w 3"]
    logits: Float16[Array, "S K H W"]
    labels: Int[Array, "S H W"]
    item: Int[Array, " S"]


def read_scenes(path: str | os.PathLike) -> Scenes:
    """A `scenes.npz`; no pickle is read.

    Raises:
        InputError: Another file, or shapes that do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            found = Scenes(*(held[name] for name in FIELDS))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: expected scenes.npz of {', '.join(FIELDS)}, {error}") from error
    shapes = found.logits.shape[:1] + found.logits.shape[2:]
    if found.logits.ndim != 4 or found.labels.shape != shapes or len(found.image) != shapes[0]:
        raise InputError(
            f"{path}: expected logits (S, K, H, W) and labels (S, H, W), "
            f"got {found.logits.shape} and {found.labels.shape}"
        )
    return found


def scene_pictures(name: str, scenes: Scenes, score: Score) -> list[Picture]:
    """Image, prediction and errors by the rank of their confidence, for each scene.

    A label that is no class is void.
    """
    out = []
    for image, logits, labels, item in zip(*scenes):
        predicted, confidence = (f(logits[None])[0] for f in (predict, score))
        known = np.where((labels >= 0) & (labels < len(logits)), labels, VOID)
        data = scene.prepare(confidence, predicted, known, ignore_index=VOID)
        wrong = data.wrong.sum() / data.counted.sum()
        text = f"{name}, scene {item}: {percent(wrong)} of the labelled pixels are wrong"
        out.append(Picture(_drawn(image, predicted, logits.shape[0], data), text))
    return out


def _drawn(image: Array, predicted: Array, classes: int, data: scene.Scene) -> str:
    extra("matplotlib", "plots", "--scenes")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3), layout="constrained", facecolor="white")
    left, middle, right = figure.subplots(1, 3)
    left.imshow(image)
    middle.imshow(
        predicted, cmap="tab20", vmin=0, vmax=max(classes - 1, 19), interpolation="nearest"
    )
    for ax, title in ((left, "image"), (middle, "prediction")):
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize="medium")
    scene.draw(data, right)
    bar = figure.colorbar(right.images[-1], ax=right, shrink=0.8)
    bar.set_label("rank of confidence")
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=90, metadata={"Software": None})
    return _uri("png", held.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
