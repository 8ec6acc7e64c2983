"""Files of several sources, scored in chunks and measured as one.

n = predictions of all sources, S = sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_named
from recuse.errors import InputError
from recuse.evaluation._measures import (
    MANY,
    Detection,
    Measures,
    check_costs,
    detect,
    explained,
    measure,
)
from recuse.evaluation._scored import Scored, score_chunks
from recuse.evaluation._sources import (
    ALL,
    BySource,
    Pool,
    SourceRow,
    decimal,
    fractions_of,
)
from recuse.io import HeldOut, LogitsReader
from recuse.io._checked import check_file
from recuse.io._stores import Store
from recuse.scores import Score
from recuse.tuning import MSP

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array


class Source(NamedTuple):
    """One file of a mixture."""

    file: HeldOut | LogitsReader
    outliers: bool = False  # its labels, if any, are ignored
    chunks: Iterable[HeldOut] | None = None  # where the caller has them in hand


@dataclass(frozen=True, eq=False)
class Mixture:
    """Scored sources, in the order given."""

    scored: Mapping[str, Scored]
    outliers: frozenset[str]  # the sources without right answers; their losses are 1

    def predictions(self, score: str) -> tuple[Array, Array, Int[Array, " n"], Array | None]:
        """Confidence, loss, source (its place) and groups (n,) of all predictions.

        Rows of equal groups depend on each other, across sources too.
        """
        parts = [s.predictions(score) for s in self.scored.values()]
        confidence, loss = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        sizes = [len(p[0]) for p in parts]
        code = np.repeat(np.arange(len(parts), dtype=np.min_scalar_type(len(parts))), sizes)
        return confidence, loss, code, _joined([p[2] for p in parts], sizes)


def without_labels(reader: LogitsReader) -> LogitsReader:
    """Return the same rows without labels: those of outliers need not be classes."""
    return replace(reader, stores=tuple(map(_Unlabelled, reader.stores)))


def score_sources(sources: Mapping[str, Source], scores: Sequence[Score] = (MSP,)) -> Mixture:
    """Score the files of a mixture, in memory or in chunks; five bytes a prediction are kept.

    Args:
        sources: By name.
        scores: The scores to compute.

    Raises:
        InputError: Only outliers, sources with different numbers of classes, or malformed input.

    >>> z, labels = np.float32([[2, 0], [0, 1], [3, 0]]), np.array([0, 0, 0])
    >>> found = score_sources({
    ...     "seen": Source(HeldOut(z, labels)), "odd": Source(HeldOut(z / 2), outliers=True)
    ... })
    >>> measure_mixture(found, "msp", coverages=[0.5]).points[0].overall.errors
    1.0
    """
    given = check_named(sources, "sources", '{"photo": Source(file), ...}')
    sources = {name: _checked(source, name) for name, source in given.items()}
    _check_sources(sources)
    codes: dict[str, int] = {}
    scored = {name: _score(source, scores, codes) for name, source in sources.items()}
    return Mixture(scored, frozenset(name for name, s in sources.items() if s.outliers))


def _checked(source: Source, name: str) -> Source:
    """Return the source with its arrays checked; outliers lose their labels."""
    if not isinstance(source, Source):
        raise InputError(f"{name}: expected a Source, got {source!r:.40}")
    file = source.file
    if isinstance(file, LogitsReader):
        return source
    if source.outliers and isinstance(file, HeldOut):
        file = replace(file, labels=None)
    return source._replace(file=check_file(file, name))


def _check_sources(sources: Mapping[str, Source]) -> None:
    if all(s.outliers for s in sources.values()):
        raise InputError("expected at least one source that is in distribution, got none")
    if ALL in sources:
        raise InputError(f"expected another name than {ALL!r}: it is that of the whole")
    classes = {name: _classes(s.file) for name, s in sources.items()}
    first = next(iter(classes))
    for name, k in classes.items():
        if k != classes[first]:
            raise InputError(
                f"expected sources of the same number of classes, "
                f"got {classes[first]} in {_called(sources, first)} and {k} in "
                f"{_called(sources, name)}"
            )


def _called(sources: Mapping[str, Source], name: str) -> str:
    """A source by its name, and by that of its file if that is another."""
    file = sources[name].file.name
    return name if file == name else f"{name} ({file})"


def _classes(file: HeldOut | LogitsReader) -> int:
    return file.logits.shape[1] if isinstance(file, HeldOut) else file.classes


def _score(source: Source, scores: Sequence[Score], codes: dict[str, int]) -> Scored:
    file, chunks = source.file, source.chunks
    if source.outliers and isinstance(file, LogitsReader):
        file = without_labels(file)
    if chunks is None:
        chunks = [file] if isinstance(file, HeldOut) else file.chunks()
    chunks = (_numbered(chunk, codes) for chunk in chunks)
    if not source.outliers:
        return score_chunks(file, chunks, scores)
    scored = score_chunks(file, map(_any_label, chunks), scores)
    return replace(scored, loss=np.ones_like(scored.loss))


def _any_label(chunk: HeldOut) -> HeldOut:
    shape = chunk.logits.shape
    return replace(chunk, labels=np.zeros(shape[:1] + shape[2:], np.int64), ignore_index=None)


def _numbered(chunk: HeldOut, codes: dict[str, int]) -> HeldOut:
    """Groups of one name have one number in every file."""
    units = chunk.units()
    if units is not None and units.dtype.kind == "U":
        distinct, place = np.unique(units, return_inverse=True)
        units = np.array([codes.setdefault(x, -1 - len(codes)) for x in distinct.tolist()])[place]
    return replace(chunk, groups=units)


def _joined(groups: Sequence[Array | None], sizes: Sequence[int]) -> Int[Array, " n"] | None:
    """The groups of all sources as codes; a row of a source without groups is one of its own."""
    known = [g.astype(np.int64) for g in groups if g is not None]
    if not known:
        return None
    named, code = np.unique(np.concatenate(known), return_inverse=True)
    has = np.repeat([g is not None for g in groups], sizes)
    out = np.empty(has.size, np.int64)
    out[has] = code
    out[~has] = named.size + np.arange(has.size - code.size)
    return out


@dataclass(frozen=True)
class _Unlabelled:
    """A store whose labels are left alone."""

    store: Store

    @property
    def path(self) -> Any:
        """Path of the file."""
        return self.store.path

    @property
    def forms(self) -> Mapping[str, Any]:
        """Forms of the other arrays."""
        return {k: form for k, form in self.store.forms.items() if k != "labels"}

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """The other arrays."""
        for block in self.store.blocks(rows):
            yield {k: x for k, x in block.items() if k != "labels"}


@dataclass(frozen=True)
class MixtureMeasures:
    """One score on one mixture."""

    score: str
    aurc: float  # of the whole, at these costs and shares
    aurc_se: float  # with the number of rows of each source fixed; NaN where it is undefined
    alone: Mapping[str, Measures]  # of each source that is no outliers
    detection: Mapping[str, Detection]  # of each source of outliers
    points: tuple[BySource, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        out: dict[str, Any] = {
            "aurc": self.aurc,
            "aurc_se": self.aurc_se,
            "alone": {name: m.to_dict() for name, m in self.alone.items()},
            "detection": {name: d.to_dict() for name, d in self.detection.items()},
            "points": [point.to_dict() for point in self.points],
        }
        return explained(
            out,
            f"a source has fewer than two independent rows, all losses are equal, or there are "
            f"more than {MANY:,} predictions",
        )


def measure_mixture(
    mixture: Mixture,
    score: str,
    *,
    coverages: Sequence[float] = (0.1,),
    risks: Sequence[float] = (),
    thresholds: Sequence[float] = (),
    shares: Mapping[str, float] | None = None,
    cost_error: float = 1.0,
    cost_ood: float = 1.0,
) -> MixtureMeasures:
    """Measure operating points by source, AURC of the whole and of each source, and outliers.

    With shares the AURC is `curves.aurc_of_weights`, otherwise `aurc`. Its standard error takes the
    shares as fixed.

    Args:
        mixture: From `score_sources`.
        score: One of its scores.
        coverages: Points at the smallest reachable coverage >= these.
        risks: Points at the largest coverage with a risk <= these, in the unit of the costs.
        thresholds: Points at these.
        shares: As in `by_source`.
        cost_error: As in `scod_loss`.
        cost_ood: As in `scod_loss`.

    Raises:
        InputError: Malformed levels, shares or costs.
    """
    check_costs(cost_error, cost_ood)
    confidence, loss, code, groups = mixture.predictions(score)
    names = tuple(mixture.scored)
    sizes = np.bincount(code, minlength=len(names)).tolist()
    prices = tuple(decimal(cost_ood if s in mixture.outliers else cost_error) for s in names)
    pool = Pool(names, confidence, loss, code, fractions_of(shares, names, sizes), prices)
    levels = {"coverage": coverages, "risk": risks, "threshold": thresholds}
    points = tuple(pool.point(by, x) for by, each in levels.items() for x in each)
    alone, detection = _each(mixture, score, pool)
    return MixtureMeasures(score, pool.aurc(), pool.aurc_se(groups), alone, detection, points)


class SharedCoverage(NamedTuple):
    """Predictions accepted from each source at one coverage of all sources together."""

    model: str
    score: str
    sources: Mapping[str, SourceRow]


def shared_coverage(
    models: Mapping[str, Mapping[str, HeldOut]],
    scores: Mapping[str, Score],
    *,
    coverage: float = 0.1,
) -> list[SharedCoverage]:
    """Count what MSP and a chosen score accept of each source, model by model.

    Args:
        models: Model -> source -> logits of the model on that source.
        scores: Model -> the score that was chosen for it.
        coverage: The fraction accepted of all sources together.
    """
    rows = []
    for name, files in models.items():
        shown = list(dict.fromkeys([MSP, scores[name]]))
        mixture = score_sources({source: Source(file) for source, file in files.items()}, shown)
        for score in shown:
            point = measure_mixture(mixture, str(score), coverages=[coverage]).points[0]
            rows.append(
                SharedCoverage(name, str(score), {source: point[source] for source in files})
            )
    return rows


def _each(
    mixture: Mixture, score: str, pool: Pool
) -> tuple[dict[str, Measures], dict[str, Detection]]:
    outlier = np.array([name in mixture.outliers for name in pool.names])
    known = ~outlier[pool.code]
    inside, right = pool.confidence[known], pool.loss[known] == 0
    alone, detection = {}, {}
    for i, (name, scored) in enumerate(mixture.scored.items()):
        if outlier[i]:
            detection[name] = detect(inside, right, pool.confidence[pool.code == i])
        else:
            confidence, loss, groups = scored.predictions(score)
            alone[name] = measure(confidence, loss, groups=groups, risks=(), coverages=())
    return alone, detection
