"""Details of the splits that an `Evaluation` does not keep: labels, limits, names, pictures.

n = test predictions, c = independent calibrate predictions, t = tune predictions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_named
from recuse.diagnosis import Smoothing
from recuse.diagnosis._rows import rows
from recuse.diagnosis._smoothing import fit_smoothing
from recuse.errors import InputError
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.evaluation._models import SPLITS, checked_split
from recuse.io import LogitsFile
from recuse.rejector import Data
from recuse.rejector._prepare import index_of_one
from recuse.scores import Score, predict
from recuse.selectors import Band, band
from recuse.tuning import MSP

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

    from recuse.reports.pictures import Picture

ENOUGH = 10_000  # tune rows from which the smoothing is fitted

Splits = Mapping[str, Mapping[str, Data]]


class Detail(NamedTuple):
    """One model; `before` and `after` are the limits of MSP and of the chosen score."""

    labels: Int[Array, " n"]
    predicted: Int[Array, " n"]
    ids: Shaped[Array, " n"] | None
    groups: Shaped[Array, " n"] | None  # rows that depend on each other
    subgroups: Shaped[Array, " n"] | None  # with rows of their own on the page
    classes: tuple[str, ...]  # their names
    before: Band | None  # None where the guarantee is void
    after: Band | None
    smoothing: Smoothing | None  # None where a tune probability is 0
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
) -> dict[str, Detail]:
    """Return the details of every model by name, from the splits that were evaluated.

    All limits of all curves hold at once: each band has its share of delta.

    Args:
        evaluation: From `recuse.evaluate`.
        splits: The splits given to `evaluate`.
        classes: Names (K,); their numbers if None.
        subgroups: By model, shape (n,): subgroups with rows of their own on the page.
        images: A folder with an image of each id, for thumbnails of errors.
        scenes: By model, a `scenes.npz` of a recipe.
        seed: Random seed of the rows taken from groups, as in `evaluate`.

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
        found = _detail(m, splits[m.name], classes, (subgroups or {}).get(m.name), share, seed)
        drawn = _scenes(m, (scenes or {}).get(m.name))
        out[m.name] = found._replace(images=folder, scenes=drawn)
    return out


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder of images, found none")
    return path


def _scenes(m: ModelEvaluation, path: str | os.PathLike | None) -> tuple[Picture, ...]:
    if path is None:
        return ()
    from recuse.reports.pictures import read_scenes, scene_pictures

    found = read_scenes(path)
    if found.logits.shape[1] != m.classes:
        raise InputError(
            f"{path}: expected logits of {m.classes} classes, got {found.logits.shape[1]}"
        )
    return tuple(scene_pictures(m.name, found, m.tuned.score))


def _detail(
    m: ModelEvaluation,
    splits: Mapping[str, Data],
    classes: Sequence[str] | None,
    subgroups: ArrayLike | None,
    share: float,
    seed: int,
) -> Detail:
    tune, calibrate, test = (checked_split(splits, name, m.name) for name in SPLITS)
    z, labels = test.labelled()
    predicted = predict(z)
    same = {"tune": len(tune), "calibrate": len(calibrate), "test": len(test)} == dict(m.sizes)
    if not (same and np.array_equal(predicted != labels, m.loss > 0)):
        raise InputError(f"model {m.name!r}: expected the splits that were evaluated, got others")
    before, after = _bands(m, tune, calibrate, share, seed)
    return Detail(
        labels=labels,
        predicted=predicted,
        ids=test.ids,
        groups=test.groups,
        subgroups=_subgroups(m, subgroups),
        classes=_names(m, classes),
        before=before,
        after=after,
        smoothing=_smoothing(tune, m.classes),
    )


def _bands(
    m: ModelEvaluation, tune: LogitsFile, calibrate: LogitsFile, share: float, seed: int
) -> tuple[Band | None, Band | None]:
    """Return limits of MSP and of the chosen score, from one row of each group as in the fit."""
    if m.selection.guarantee.void:
        return None, None
    z, labels = calibrate.rows(index_of_one(calibrate, seed)).labelled()
    wrong = (predict(z) != labels).astype(np.float64)

    def limits(score: Score) -> Band:
        return band(score(z), wrong, delta=share, tune=score(tune.logits))

    before = limits(MSP)
    return before, limits(m.tuned.score) if m.repaired else before


def _smoothing(tune: LogitsFile, classes: int) -> Smoothing | None:
    """Fit the smoothing, to evenly spaced rows if there are many."""
    some = tune.rows(slice(None, None, -(-len(tune) // ENOUGH)))
    z, labels = some.labelled()
    if np.isneginf(z).any():
        return None
    groups = None if some.groups is None else np.unique(some.groups, return_inverse=True)[1]
    return fit_smoothing(rows(z, labels), classes, groups)


def _names(m: ModelEvaluation, classes: Sequence[str] | None) -> tuple[str, ...]:
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
