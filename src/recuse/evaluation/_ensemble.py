"""Several models as one: the mean of their logits, or of their probabilities.

n = rows, K = classes, ... = any trailing axes (pixels).

A mean is a model like any other: measure it, tune it, fit a rejector for it. The two means are
two models. The mean of logits keeps what the norms and the learned score use; the mean of
probabilities, that of deep ensembles, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.errors import InputError
from recuse.evaluation._scored import Scored, matched
from recuse.io import LogitsFile

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array


class Ensemble(NamedTuple):
    """The mean of some files, and how it came about."""

    file: LogitsFile  # in the order of the first; log-probabilities where these were averaged
    members: int
    matched_by: str  # "ids", or "rows": by position, with equal labels


def average_logits(files: Iterable[LogitsFile]) -> Ensemble:
    """The mean logits of the same examples: the softmax of it is their geometric mean.

    Args:
        files: Each (n, K, ...), read one after another. Rows are matched by ids where all files
            have them, else by position, and then all labels must be equal.

    Raises:
        InputError: Fewer than two files, one twice, other examples, or other classes.

    >>> one, other = (LogitsFile(np.array([[z, 0.0]]), np.array([0]), name=f"{z}") for z in (1, 3))
    >>> average_logits([one, other]).file.logits
    array([[2., 0.]])
    """
    found = _sum(files, lambda z: z)
    stored = found.file.logits.dtype
    return _of(found, _mean(found).astype(np.float64 if stored == np.float64 else np.float32))


def average_probs(files: Iterable[LogitsFile]) -> Ensemble:
    """The mean probabilities of the same examples, as their logarithm: logits of kind "probs".

    Args:
        files: As in `average_logits`, of logits or of log-probabilities.

    Raises:
        InputError: As `average_logits`.

    References:
        Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017.

    >>> one, other = (LogitsFile(np.log([[p, 1 - p]]), np.array([0]), name=f"{p}")
    ...               for p in (0.5, 0.9))
    >>> np.exp(average_probs([one, other]).file.logits).round(2)
    array([[0.7, 0.3]])
    """
    from scipy.special import softmax

    found = _sum(files, partial(softmax, axis=1))
    with np.errstate(divide="ignore"):  # of a probability that underflows
        return _of(found, np.log(_mean(found)))


class _Sum(NamedTuple):
    file: LogitsFile  # the first, and the groups of any
    total: Float[Array, "n K ..."]
    members: int
    matched_by: str


def _mean(found: _Sum) -> Float[Array, "n K ..."]:
    return found.total / found.members


def _of(found: _Sum, logits: Array) -> Ensemble:
    return Ensemble(replace(found.file, logits=logits), found.members, found.matched_by)


def _sum(files: Iterable[LogitsFile], value: Callable[[Array], Array]) -> _Sum:
    """The values of all files added up, in the order of the first; two files in memory at once."""
    found, names = None, {}
    for file in files:
        if file.digest in names:
            raise InputError(f"expected other data in {file.name} than in {names[file.digest]}")
        names[file.digest] = file.name
        values = value(file.logits.astype(np.float64))
        found = _Sum(file, values, 1, "ids") if found is None else _plus(found, file, values)
    if found is None or found.members < 2:
        raise InputError(f"expected at least two files to average, got {len(names)}")
    return found


def _plus(found: _Sum, file: LogitsFile, values: Array) -> _Sum:
    """One member more."""
    first = found.file
    if first.logits.shape[1:] != file.logits.shape[1:]:
        raise InputError(
            f"expected logits of the same classes in {first.name} and {file.name}, "
            f"got shapes {first.logits.shape} and {file.logits.shape}"
        )
    rows, by = _rows(first, file)
    known = first
    if first.groups is None and file.groups is not None:
        known = replace(first, groups=file.groups[rows])
    by = "rows" if "rows" in (by, found.matched_by) else by
    return _Sum(known, found.total + values[rows], found.members + 1, by)


def _rows(a: LogitsFile, b: LogitsFile) -> tuple[Int[Array, " n"], str]:
    """For each row of `a` the row of `b` that is the same example, and what says so."""
    found, by = matched(_examples(a), _examples(b))
    return found.confidence["row"], by


def _examples(file: LogitsFile) -> Scored:
    """The examples of a file, in place of a confidence their row."""
    shape = (len(file), *file.logits.shape[2:])
    rows = {"row": np.arange(len(file))}
    unknown = np.broadcast_to(np.uint8(0), shape)
    return Scored(file.name, None, rows, unknown, None, False, file.labels, file.ids)
