"""Examples that stand in two places: in two splits, in two shards, in a file given twice.

Splits share examples by ids, by groups, by identical rows, or by equal labels row by row. One file
repeats them by ids, or by more identical rows than i.i.d. draws explain.

n = rows of a file, f_k = distinct rows that stand k times in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import hashes, strict
from recuse.errors import InputError
from recuse.io._reader import LogitsReader, shards
from recuse.io._row_hashes import fingerprints, output_hashes, rounded
from recuse.io._rows import HeldOut, of_classes

if TYPE_CHECKING:
    from numpy import ndarray as Array

NAMES = ("ids", "groups")
SHARED_ROWS, FEW = 0.01, 10  # of the smaller split, and at most: so many may repeat by accident
NAMED_ROWS = 0.5  # of the smaller split, where names say that all rows differ: a copy renamed
LEVEL = 0.01  # probability with which repeated rows may all fall into different splits by chance
AGREE = 1e-6  # probability with which all labels of two splits may agree by chance
FEW_LABELS = 20  # fewer may be equal in two shards by chance
SAME = 0.02  # of the range of a row: so much may batches and half precision change its outputs
PRECISIONS = {"float32": 20, "bfloat16": 6}  # bits of a logit that tell two rows apart
SAMPLED_ROWS = 256
SEEN = 1 << 8  # rows whose format is looked at at once
SHARED_SAMPLE = 0.05  # of the sample, and at least `FEW`: fewer rows are no matter
IID = 1e-6  # probability with which one count of repeated rows passes its limit by chance
CHANCE = 5  # standard deviations of the number of rows that agree by chance


def overlap(a: HeldOut, b: HeldOut) -> str | None:
    """Return what two splits have in common, in words; None if they look disjoint.

    Where ids or groups say that all rows differ, equal rows are evidence only if most rows of a
    split are in the other and far more than repeat within it: a copy under other names.
    """
    named = any(_names(a, k) is not None and _names(b, k) is not None for k in NAMES)
    names = _shared_names(a, b)
    if a.digest == b.digest and (names or not named):
        return "the same data twice"
    return names or _shared_rows(a, b, named) or (None if named else _equal_labels(a, b))


def _shared_names(a: HeldOut, b: HeldOut) -> str | None:
    """Return ids or groups in both files."""
    for name in NAMES:
        x, y = _names(a, name), _names(b, name)
        both = () if x is None or y is None else np.intersect1d(x, y)
        if len(both):
            return f"{len(both)} {name} in both, such as {both[0]}"
    return None


def _names(file: HeldOut, name: str) -> Array | None:
    """Return ids or groups; none if groups are made of the content: short sequences are equal."""
    return None if file.by_content and name == "groups" else getattr(file, name)


def _shared_rows(a: HeldOut, b: HeldOut, named: bool) -> str | None:
    """Return rows in both files, even if one was saved in a coarser format."""
    formats = {_format(a.logits), _format(b.logits)}
    excess = max(_excess(fingerprints(a, f), fingerprints(b, f), named) for f in formats)
    return f"{excess:,.0f} identical rows in both" if excess else None


def _format(logits: Array) -> np.dtype:
    """Return the coarsest format that holds every logit exactly."""
    import ml_dtypes

    parts = [logits[start : start + SEEN] for start in range(0, len(logits), SEEN)]
    for f in (ml_dtypes.bfloat16, np.float16, np.float32):
        if f == logits.dtype or all((rounded(part, f) == part).all() for part in parts):
            return np.dtype(f)
    return np.dtype(np.float64)


def _excess(a: Array, b: Array, named: bool) -> float:
    """Return the rows in both files beyond chance; 0 if chance explains all of them.

    By chance, two equal rows are in different files as often as any two rows. Of a frequent row,
    each file holds a share with binomial scatter. Without names, the pairs within the files say
    how many pairs there are; with names, so do the pairs between them.
    """
    from scipy.special import betainc

    n, share = a.size + b.size, a.size / (a.size + b.size)
    code = np.unique(np.r_[a, b], return_inverse=True)[1].reshape(-1)
    x, y = (np.bincount(c, minlength=code.max() + 1) * 1.0 for c in np.split(code, [a.size]))
    within = (x @ (x - 1) + y @ (y - 1)) / 2
    parted = 2 * a.size * b.size / (n * (n - 1))  # of all pairs
    odds = parted / max(1 - parted, 1 / n)
    scatter = share * (1 - share) * (1 - 2 * share) ** 2 * n * np.var((x + y)[code])
    between = x @ y
    excess = between - odds * within
    pairs = between + within if named else (1 + odds) * within
    deviation = np.sqrt(odds * pairs + (1 + odds) ** 2 * scatter)
    smaller, most = min(a.size, b.size), CHANCE * deviation
    most = max(NAMED_ROWS * smaller, most) if named else most + min(SHARED_ROWS * smaller, FEW)
    if excess <= most or betainc(between, within + 1, parted) > LEVEL:
        return 0.0
    return float(excess)


def _equal_labels(a: HeldOut, b: HeldOut) -> str | None:
    """Return labels that are equal row by row, without names that tell the rows apart.

    Labels of i.i.d. rows with class frequencies p all agree with probability (sum p^2)^n. Sorted
    or alternating labels are not evidence: they are equal in any two balanced splits.
    """
    x, y = a.labels, b.labels
    if x is None or y is None or not np.array_equal(x, y):
        return None
    share = np.unique(x, return_counts=True)[1] / len(x)
    agree = float(share @ share)  # two draws
    if len(x) * np.log(agree) > np.log(AGREE) or _in_order(x, agree):
        return None
    return (
        f"equal labels in all {len(a):,} rows: files of two models on the same examples? If they "
        "are others, give both files `ids`"
    )


def _in_order(labels: Array, agree: float) -> bool:
    """Return whether neighbours agree, or correlate, more than i.i.d. labels would by chance."""
    v = labels - labels.mean()
    alike = np.mean(labels[1:] == labels[:-1]) - agree
    correlation = (v[1:] @ v[:-1]) / (v @ v)
    scale = np.sqrt(labels.size)
    return bool(max(abs(alike) / np.sqrt(agree * (1 - agree)), abs(correlation)) * scale >= CHANCE)


class RowSample(NamedTuple):
    """Rows of a file by which another file with them is recognised, in one precision."""

    equal: int  # pairs of rows with equal outputs, as those of trees
    hashes: Array  # of outputs that stand in it once: the smallest ones

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"equal": self.equal, "hashes": base64.b64encode(self.hashes.tobytes()).decode()}

    @classmethod
    def from_dict(cls, data: Any) -> RowSample:
        """Read what `to_dict` returns; strict."""
        strict(data, {"equal": int, "hashes": str}, "a sample of rows")
        found = base64.b64decode(data["hashes"], validate=True)
        if len(found) % 8 or len(found) > 8 * SAMPLED_ROWS or data["equal"] < 0:
            raise InputError(f"expected at most {SAMPLED_ROWS} hashes of 8 bytes")
        return cls(data["equal"], np.frombuffer(found, "<u8"))


def row_samples(file: HeldOut) -> dict[str, RowSample]:
    """Return a sample of outputs (n, K) in float32, and in bfloat16 for files saved again so.

    It holds no label, id or group, and no output can be computed from it.
    """
    out = {}
    for name in PRECISIONS:
        value, count = np.unique(output_hashes(file, _dtype(name)), return_counts=True)
        equal = int(count @ (count - 1)) // 2
        out[name] = RowSample(equal, value[count == 1][:SAMPLED_ROWS].astype("<u8"))
    return out


def _dtype(precision: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16 if precision == "bfloat16" else precision)


def share_of_sample(samples: Mapping[str, RowSample], n: int, file: HeldOut) -> float:
    """Return the fraction of a sample of n rows that a file has; 0 where chance explains it.

    By chance a row equals another as often as two rows of the sampled file do; one pair more is
    counted, and what the precision cannot tell apart.
    """
    found, pairs = 0.0, max(n * (n - 1) / 2, 1)
    for name, (equal, known) in samples.items():
        if not known.size:
            continue
        seen = output_hashes(file, _dtype(name))
        place = np.searchsorted(known, seen).clip(max=known.size - 1)  # they ascend
        hits = np.unique(place[known[place] == seen]).size
        columns = file.logits.shape[1] - of_classes(file.kind)  # of classes, one follows
        alike = (equal + 1) / pairs + 2.0 ** -(PRECISIONS[name] * columns)
        by_chance = known.size * min(1.0, len(file) * alike)
        if hits >= max(FEW, SHARED_SAMPLE * known.size, 3 * by_chance):
            found = max(found, hits / known.size)
    return found


class Repeated(NamedTuple):
    """Rows of one file that stand in it several times."""

    rows: int  # all that there are
    distinct: int
    example: Any  # an id that stands several times; None of identical rows
    alike: bool  # whether rows of one id have the same label and about the same outputs

    @property
    def share(self) -> float:
        """Fraction of the rows that repeat another."""
        return 1 - self.distinct / self.rows


def repeated_ids(file: HeldOut) -> Repeated | None:
    """Return how often ids are repeated within a file of rows (n, K); None if they differ."""
    if file.ids is None or np.unique(hashes(file.ids)).size == len(file):
        return None
    names, code = np.unique(file.ids, return_inverse=True)
    order = np.argsort(code, kind="stable")
    twice = order[1:][np.diff(code[order]) == 0], order[:-1][np.diff(code[order]) == 0]
    a, b = (file.rows(rows) for rows in twice)
    with np.errstate(invalid="ignore"):  # -inf in both
        x, y = (part.logits.astype(np.float64) for part in (a, b))
        scale = np.maximum(np.ptp(x, axis=1), np.ptp(y, axis=1))[:, None]
        near = (x == y) | (np.abs(x - y) <= SAME * scale)
    labels_too = a.labels is None or bool((a.labels == b.labels).all())
    return Repeated(
        len(file), len(names), names[code[twice[0][0]]], bool(near.all()) and labels_too
    )


def repeated_rows(file: HeldOut) -> Repeated | None:
    """Return how often rows are repeated, if i.i.d. draws from no distribution explain it.

    Outputs of trees repeat, and so do those of equal inputs. But of i.i.d. rows, whatever their
    distribution, E f_k / binom(n, k) is log-convex in k: rows that stand k times come with rows
    that stand k - 1 or k + 1 times. A sampler that repeats each row breaks that. Each f_k is known
    up to its Poisson limits at `IID`: less than one i.i.d. file in 10,000 is found.

    A few copies are not: 20 of 200 rows that stand twice are what 1,000 equally likely outputs
    give, so no test of these counts can tell a padded sample from an honest one. Give ids.
    """
    from scipy.special import gammainccinv, gammaincinv

    n, count = len(file), np.unique(fingerprints(file), return_counts=True)[1]
    f = np.bincount(count, minlength=3).astype(np.float64)
    f = np.r_[f, 0.0]
    k = np.flatnonzero(f)
    k = k[(k > 1) & (k < n)]
    high = gammainccinv(f + 1, IID)
    factor = (k + 1) / k * (n - k + 1) / (n - k)
    excess = gammaincinv(f[k], IID) > np.sqrt(factor * high[k - 1] * high[k + 1])
    return Repeated(n, len(count), None, True) if excess.any() else None


class ShardLabels:
    """Labels of the shards of one path, to find shards of different models.

    Outputs of two models on the same examples have equal labels row by row.
    """

    def __init__(self, reader: LogitsReader):
        self.digests = {str(store.path): hashlib.sha256() for store in reader.stores}
        self.varied: set[str] = set()  # shards whose labels could not be equal by chance

    def add(self, chunk: HeldOut) -> None:
        """Add the labels of a part of a shard."""
        if len(self.digests) > 1 and chunk.labels is not None:
            self.digests[chunk.name].update(np.ascontiguousarray(chunk.labels).tobytes())
            if len(chunk) >= FEW_LABELS and chunk.labels.min() != chunk.labels.max():
                self.varied.add(chunk.name)

    def equal(self) -> tuple[str, str] | None:
        """Return the first two shards of equal labels, if there are any."""
        seen: dict[bytes, str] = {}
        for name in filter(self.varied.__contains__, self.digests):
            other = seen.setdefault(self.digests[name].digest(), name)
            if other != name:
                return other, name
        return None


Given = str | os.PathLike  # a URL, or a path


def check_given_once(
    files: Sequence[Given], expand: Callable[[Given], Sequence[Given]] = lambda file: [file]
) -> None:
    """Refuse a file that stands twice among the files, or among what they expand to."""
    seen: set[Given] = set()
    for file in (part for given in files for part in expand(given)):
        if resolved(file) in seen:
            raise InputError(f"{file} is given twice, and would count twice")
        seen.add(resolved(file))


def shards_of(file: Given) -> Sequence[Given]:
    """Return the files of a folder or a glob; its reader says what is wrong with it."""
    if not isinstance(file, Path):
        return [file]
    try:
        return shards(file)
    except InputError:
        return [file]


def resolved(file: Given) -> Given:
    """Return one name for one file; a URL as it is."""
    return file.resolve() if isinstance(file, Path) else file
