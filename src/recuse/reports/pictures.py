"""Pictures inside the page: thumbnails of errors, and segmented scenes.

S = scenes, K = classes, h, w = of the image, H, W = of the logits.
"""

from __future__ import annotations

import base64
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.plots import scene
from recuse.present.numbers import percent
from recuse.present.typeset import isolated
from recuse.scores import Score, predict

if TYPE_CHECKING:
    from jaxtyping import Float16, Int, UInt8
    from matplotlib.axes import Axes
    from numpy import ndarray as Array

SIDE = 72  # pixels of a thumbnail's longer side
SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp")
VOID = -1
FIELDS = ("image", "logits", "labels", "item")
SCENES = f"expected scenes.npz of {', '.join(FIELDS)}"


class Picture(NamedTuple):
    """Images side by side as data URIs, by name, and what they show in words."""

    panels: dict[str, str]
    text: str


def image_of(folder: Path, name: str) -> Path | None:
    """Return the image of an id inside a folder; None if there is none.

    An id is untrusted: a path that leaves the folder is refused.
    """
    root = folder.resolve()
    paths = ((root / f"{name}{suffix}").resolve() for suffix in SUFFIXES)
    return next((p for p in paths if p.is_relative_to(root) and p.is_file()), None)


def thumbnail(folder: Path, name: str) -> str | None:
    """Return a thumbnail of the image of an id; None if there is none."""
    image = extra("PIL.Image", "vision", "--images")
    if (path := image_of(folder, name)) is None:
        return None
    try:
        with image.open(path) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error
    small.thumbnail((SIDE, SIDE))
    held = io.BytesIO()
    small.save(held, "JPEG", quality=80)
    return _uri("jpeg", held.getvalue())


class Scenes(NamedTuple):
    """A few segmented images saved by a recipe."""

    image: UInt8[Array, "S h w 3"]
    logits: Float16[Array, "S K H W"]
    labels: Int[Array, "S H W"]
    item: Int[Array, " S"]


def read_scenes(path: str | os.PathLike) -> Scenes:
    """Read a `scenes.npz`; no pickle is read.

    Raises:
        InputError: Another file, or shapes that do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            names = [name for name in held if name in FIELDS]
            there, found = ", ".join(held) or "none", [held[name] for name in names]
    except (OSError, TypeError, ValueError, zipfile.BadZipFile) as error:  # TypeError: a .npy
        raise InputError(f"{path}: {SCENES}, got another file ({error})") from error
    if len(names) < len(FIELDS):
        raise InputError(f"{path}: {SCENES}, got {there}")
    return _checked(path, Scenes(**dict(zip(names, found))))


def _checked(path: str | os.PathLike, found: Scenes) -> Scenes:
    """Refuse shapes that do not fit each other."""
    shapes = found.logits.shape[:1] + found.logits.shape[2:]
    if found.logits.ndim != 4 or found.labels.shape != shapes or len(found.image) != shapes[0]:
        raise InputError(
            f"{path}: expected logits (S, K, H, W) and labels (S, H, W), "
            f"got {found.logits.shape} and {found.labels.shape}"
        )
    return found


def scene_pictures(name: str, scenes: Scenes, score: Score) -> list[Picture]:
    """Draw image, prediction and errors by the rank of their confidence, for each scene.

    A label that is no class is void.
    """
    out = []
    for image, logits, labels, item in zip(*scenes):
        predicted, confidence = (f(logits[None])[0] for f in (predict, score))
        known = np.where((labels >= 0) & (labels < len(logits)), labels, VOID)
        data = scene.prepare(confidence, predicted, known, ignore_index=VOID)
        wrong = data.wrong.sum() / data.counted.sum()
        text = f"{isolated(name)}, scene {item}: {percent(wrong)} of the labelled pixels are wrong"
        out.append(Picture(_panels(image, predicted, logits.shape[0], data), text))
    return out


def _panels(image: Array, predicted: Array, classes: int, data: scene.Scene) -> dict[str, str]:
    """Return one picture each, so that a narrow page can stack them."""
    return {
        "image": _panel(4, lambda ax: ax.imshow(image), "image"),
        "prediction": _panel(4, lambda ax: _segments(predicted, classes, ax), "prediction"),
        "errors": _panel(5, lambda ax: _errors(data, ax)),
    }


def _panel(width: float, draw: Callable[[Axes], object], title: str = "") -> str:
    """Return a drawing of so many inches; without a title it brings its own."""
    extra("matplotlib", "plots", "--scenes")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3), layout="constrained", facecolor="white")
    ax = figure.subplots()
    draw(ax)
    if title:
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize="medium")
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=90, metadata={"Software": None})
    return _uri("png", held.getvalue())


def _segments(predicted: Array, classes: int, ax: Axes) -> None:
    last = max(classes - 1, 19)
    ax.imshow(predicted, cmap="tab20", vmin=0, vmax=last, interpolation="nearest")


def _errors(data: scene.Scene, ax: Axes) -> None:
    scene.draw(data, ax)
    bar = ax.figure.colorbar(ax.images[-1], ax=ax, shrink=0.8)
    bar.set_label("rank of confidence")


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
