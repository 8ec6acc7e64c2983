"""Details of the splits that an `Evaluation` does not keep.

Labels, limits, names, and pictures: thumbnails of errors, and segmented scenes.

n = test predictions, c = independent calibration predictions, t = tuning predictions, S = scenes,
K = classes, h, w = of the image, H, W = of the logits.
"""

from __future__ import annotations

import base64
import io
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_named, extra
from recuse.diagnosis import Smoothing
from recuse.diagnosis._rows import rows, typical_classes
from recuse.diagnosis._smoothing import fit_smoothing
from recuse.errors import InputError
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.evaluation._model import SPLITS, checked_split
from recuse.io import HeldOut, split_rows
from recuse.io._rows import of_classes
from recuse.plots import scene
from recuse.present.numbers import percent
from recuse.present.text import isolated
from recuse.rejector import Cut, Data
from recuse.rejector._prepare import one_of_each
from recuse.rejector._rules import SUBGROUP
from recuse.scores import Score, predict
from recuse.selectors import Band, band

if TYPE_CHECKING:
    from jaxtyping import Float16, Int, Shaped, UInt8
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ENOUGH = 10_000  # rows from which the smoothing is fitted

Splits = Mapping[str, Mapping[str, Data] | Data]


class Detail(NamedTuple):
    """One model; `before` and `after` are the limits of MSP and of the chosen score.

    Of confidences, labels say which answers are right, all are predicted to be, and no classes
    have names.
    """

    labels: Int[Array, " n"]
    predicted: Int[Array, " n"]
    ids: Shaped[Array, " n"] | None
    groups: Shaped[Array, " n"] | None  # rows that depend on each other
    subgroups: Shaped[Array, " n"] | None  # with rows of their own on the page
    classes: tuple[str, ...]  # their names
    before: Band | None  # None where the guarantee is void
    after: Band | None
    smoothing: Smoothing | None  # None where a tune probability is 0, and of confidences
    images: Path | None = None  # folder with images of the ids
    scenes: tuple[Picture, ...] = ()


def curves_of(evaluation: Evaluation) -> int:
    """Return the number of curves on the page: limits must hold for all of them at once."""
    return sum(1 + m.repaired for m in evaluation.models)


def details(
    evaluation: Evaluation,
    splits: Splits,
    *,
    classes: Sequence[str] | None = None,
    subgroups: Mapping[str, ArrayLike] | None = None,
    images: str | os.PathLike | None = None,
    scenes: Mapping[str, str | os.PathLike] | None = None,
    seed: int = 0,
    repeated_ids: str = "refuse",
) -> dict[str, Detail]:
    """Return the details of every model by name, from the splits that were evaluated.

    All limits of all curves hold at once: each band has its share of delta.

    Args:
        evaluation: From `recuse.evaluate`.
        splits: The splits given to `evaluate`.
        classes: Names (K,); their numbers if None.
        subgroups: By model, shape (n,): subgroups with rows of their own on the page, of the
            measured predictions; of one file, of all its predictions.
        images: A folder with an image of each id, for thumbnails of errors.
        scenes: By model, a `scenes.npz` of a recipe.
        seed: Random seed of the rows taken from groups, as in `evaluate`.
        repeated_ids: As in `evaluate`.

    Raises:
        InputError: Splits of other data or models, or names, subgroups, images and scenes
            that do not fit.
    """
    splits = check_named(splits, "splits", '{"net": {"tune": ..., ...}, ...}')
    if set(splits) != {m.name for m in evaluation.models}:
        raise InputError(f"expected splits of the models evaluated, got {sorted(splits)}")
    share = evaluation.delta / curves_of(evaluation)
    folder = None if images is None else _folder(Path(images))
    out = {}
    for m in evaluation.models:
        once = _splits(splits[m.name], m, repeated_ids)
        of = (subgroups or {}).get(m.name)
        if m.cut is not None and m.cut.tuning:
            once, of = _cut(once, of, m, m.cut, seed)
        found = _detail(m, once, classes, of, share, seed)
        drawn = _scenes(m, (scenes or {}).get(m.name))
        out[m.name] = found._replace(images=folder, scenes=drawn)
    return out


def _splits(
    given: Mapping[str, Data] | Data, m: ModelEvaluation, repeated_ids: str
) -> dict[str, HeldOut]:
    """Return the splits as they were given to `evaluate`."""
    named: Any = {"calibrate": given} if isinstance(given, HeldOut | tuple) else given
    if "calibrate" not in m.sizes:  # of a rejector that was given
        named = {"test": named.get("test", named.get("calibrate"))}
    files = {s: checked_split(named, s, m.name, None, repeated_ids) for s in SPLITS if s in named}
    if {split: len(file) for split, file in files.items()} != dict(m.sizes):
        raise InputError(f"model {m.name!r}: expected the splits that were evaluated, got others")
    return files


def _cut(
    files: Mapping[str, HeldOut], of: ArrayLike | None, m: ModelEvaluation, cut: Cut, seed: int
) -> tuple[dict[str, HeldOut], ArrayLike | None]:
    """Cut one file as it was for the fit, and the subgroups of all its rows with it."""
    whole = files["calibrate"]
    along = of is not None and not m.tested and np.shape(of) == (len(whole),)
    if along:
        whole = replace(whole, subgroups={SUBGROUP: np.asarray(of)})
    parts = split_rows(whole, cut.parts, seed=seed)
    return {**files, **parts}, parts["calibrate"].subgroups[SUBGROUP] if along else of


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder of images, found none")
    return path


def _scenes(m: ModelEvaluation, path: str | os.PathLike | None) -> tuple[Picture, ...]:
    if path is None:
        return ()
    found = read_scenes(path)
    if found.logits.shape[1] != m.classes:
        raise InputError(
            f"{path}: expected logits of {m.classes} classes, got {found.logits.shape[1]}"
        )
    return tuple(scene_pictures(m.name, found, m.tuned.score))


def _detail(
    m: ModelEvaluation,
    splits: Mapping[str, HeldOut],
    classes: Sequence[str] | None,
    subgroups: ArrayLike | None,
    share: float,
    seed: int,
) -> Detail:
    tune, calibrate = splits.get("tune"), splits.get("calibrate")
    test = splits["test"] if calibrate is None else splits.get("test", calibrate)
    if not np.array_equal(test.loss, m.loss > 0):
        raise InputError(f"model {m.name!r}: expected the splits that were evaluated, got others")
    before, after = _bands(m, tune, calibrate, share, seed)
    return Detail(
        labels=test.labelled()[1],
        predicted=test.predicted,
        ids=test.ids,
        groups=test.groups,
        subgroups=_subgroups(m, subgroups),
        classes=_names(m, classes or test.class_names),
        before=before,
        after=after,
        smoothing=_smoothing(tune or calibrate or test, m.classes),
    )


def _bands(
    m: ModelEvaluation, tune: HeldOut | None, calibrate: HeldOut | None, share: float, seed: int
) -> tuple[Band | None, Band | None]:
    """Return limits of MSP and of the chosen score, from one row of each group as in the fit."""
    if m.selection.guarantee.void or calibrate is None:
        return None, None
    one = one_of_each(calibrate, seed)
    wrong = one.loss.astype(np.float64)
    z = m.tuned.masked(one.logits)
    seen = None if tune is None else m.tuned.masked(tune.logits)

    def limits(score: Score) -> Band:
        of_tune = None if seen is None else score(seen)
        return band(score(z), wrong, delta=share, tune=of_tune)

    before = limits(m.tuned.baseline)
    return before, limits(m.tuned.score) if m.repaired else before


def _smoothing(tune: HeldOut, classes: int) -> Smoothing | None:
    """Fit the smoothing, to evenly spaced rows if there are many."""
    if not of_classes(tune.kind):
        return None
    some = tune.rows(slice(None, None, -(-len(tune) // ENOUGH)))
    z, labels = some.labelled()
    if np.isneginf(z[:, ~np.isneginf(z).all(axis=0)]).any():
        return None
    groups = None if some.groups is None else np.unique(some.groups, return_inverse=True)[1]
    return fit_smoothing(rows(z, labels), min(classes, typical_classes(z)), groups)


def _names(m: ModelEvaluation, classes: Sequence[str] | None) -> tuple[str, ...]:
    if not of_classes(m.kind):
        return ()
    if classes is None:
        return tuple(map(str, range(m.classes)))
    if len(classes) != m.classes:
        raise InputError(f"model {m.name!r}: expected {m.classes} class names, got {len(classes)}")
    return tuple(map(str, classes))


def _subgroups(m: ModelEvaluation, subgroups: ArrayLike | None) -> Array | None:
    if subgroups is None:
        return None
    of = np.asarray(subgroups)
    if of.shape != (m.n,):
        raise InputError(f"model {m.name!r}: expected subgroups of shape ({m.n},), got {of.shape}")
    return of


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
