"""`diagnose`: gather the evidence and apply the rule.

n = predictions, K = classes, D = features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_groups, first, per_row, to_numpy
from recuse.calibration._measures import flat
from recuse.diagnosis._geometry import Geometry, Layer, check_layer, geometry
from recuse.diagnosis._max_logit import Gradient, MaxLogit, gradient, max_logit_given_msp
from recuse.diagnosis._rows import rows, typical_classes, zeros
from recuse.diagnosis._smoothing import (
    CANNOT_TELL,
    EXCLUDED,
    Shape,
    Smoothing,
    fit_smoothing,
    shape,
    verdict,
)
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._checked import as_held_out
from recuse.io._row_hashes import fingerprints
from recuse.io._rows import refuse_confidences
from recuse.present import diagnosis as words
from recuse.present import glance
from recuse.scores import find_filler, predict, without_filler
from recuse.tuning import Tuned, tune
from recuse.tuning._candidates import foresee
from recuse.tuning._tune import FEWEST_UNITS

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ROWS, LOGITS = 10_000, 10_000_000  # that are enough for a verdict: the larger number of rows


@dataclass(frozen=True, repr=False)
class Diagnosis(glance.AtAGlance):
    """The verdict, the finding behind it, and the evidence."""

    verdict: str  # one of `VERDICTS`
    finding: str  # code of the reason, as `recuse.diagnosis.verdict` returns it, or "class_order"
    n: int  # predictions that were looked at
    units: int  # independent rows or groups
    classes: int
    errors: int
    kind: str  # "probs" if the logits were logarithms of probabilities
    smoothing: Smoothing
    shape: Shape
    max_logit: MaxLogit | None  # None with fewer than 10 errors, or if MSP determines the maximum
    gradient: Gradient | None  # None likewise
    repair: Tuned
    geometry: Geometry | None  # None without features

    needed = FEWEST_UNITS  # units without which the verdict is open
    ruled_out = EXCLUDED  # smoothing that "no label smoothing" rules out

    @property
    def reason(self) -> str:
        """The reason for the verdict as a clause."""
        return words.reason(self)

    @property
    def recommendation(self) -> str:
        """Which score to use, in a sentence or two."""
        return words.recommendation(self)

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        return words.sentence(self)

    @property
    def msp_aurc(self) -> float:
        """AURC of MSP."""
        return self.repair.facts.msp

    @property
    def gain(self) -> float:
        """Cross-fitted gain of the repair relative to the AURC of MSP; NaN if not compared."""
        return self.repair.gain / self.msp_aurc if self._compared else float("nan")

    @property
    def gain_se(self) -> float:
        """Standard error of `gain`."""
        return self.repair.gain_se / self.msp_aurc if self._compared else float("nan")

    @property
    def _compared(self) -> bool:
        return self.repair.gain_se > 0 and self.msp_aurc > 0

    @property
    def digest(self) -> str:
        """Digest of the data."""
        return self.repair.digest

    def __str__(self) -> str:
        return f"{self.sentence} {self.recommendation}"

    def _card(self) -> glance.Card:
        return glance.diagnosis(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with NaN for undefined numbers."""
        head = ("verdict", "finding", "reason", "recommendation", "n", "units", "classes", "errors")
        evidence = ("smoothing", "shape", "max_logit", "gradient", "geometry")
        return {
            **{name: getattr(self, name) for name in head},
            **{name: _plain(getattr(self, name)) for name in evidence},
            "repair": {
                **self.repair.to_dict(),
                "msp_aurc": self.msp_aurc,
                "relative_gain": self.gain,
                "relative_gain_se": self.gain_se,
            },
            "undefined": words.undefined(self),
        }


@public
def diagnose(
    logits: ArrayLike | HeldOut,
    labels: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    features: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    kind: str | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Look for the fingerprint of label smoothing in held-out logits, and recommend a score.

    The logits must be those that the model was trained with. Rescaled logits (temperature
    scaling) lose the level of the probabilities; only their shape is left, and the verdict says
    so. For the measured error rates of the verdict see docs/how-to/diagnose.md.

    Of more than ten million logits a sample is looked at, of at least 10,000 rows; `n` is their
    number.

    Args:
        logits: Shape (n, K, ...), of data that was not used for training; or a `HeldOut`, which
            has labels, groups and a kind of its own. A class with the logit -inf is impossible in
            its row, and rows with one possible class are left out.
        labels: Shape (n, ...).
        groups: Shape (n,) or that of `labels`: rows of one group depend on each other.
        features: Shape (n, D), the input of the last layer; needs `weights`, and logits (n, K).
        weights: Shape (K, D), of the last layer.
        bias: Shape (K,), of the last layer; zero if None.
        kind: Input kind, as in `tune`; for "probs" only MSP is recommended.
        seed: Random seed of the folds of `tune`.

    Raises:
        InputError: Malformed input, or logits that are not those of the last layer.

    References:
        Xia, Laurent, Franchi & Bouganis, ICLR 2025; Müller, Kornblith & Hinton, NeurIPS 2019.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 5, 1000)
    >>> guess = np.where(rng.random(1000) < 0.9, y, rng.integers(0, 5, 1000))
    >>> z = 2.8 * np.eye(5)[guess] + 0.1 * rng.normal(size=(1000, 5))  # .8, though 92 % are right
    >>> diagnose(z, y).verdict
    'label smoothing'
    """
    file = as_held_out(logits, labels, kind, groups)
    file = file.predictions() if isinstance(logits, HeldOut) else file
    refuse_confidences(
        file.kind, "label smoothing leaves its trace in logits, which these rows lack"
    )
    (shaped, labels), groups, kind = file.labelled(), file.groups, file.kind
    z, y = flat(shaped, labels)
    code = None
    if groups is not None:
        code = check_groups(per_row(groups, to_numpy(labels)), y.size)
    layer = check_layer(features, weights, bias, shaped.shape)
    file, layer = _enough(HeldOut(z, y, code, kind=kind), layer)
    (z, y), code = file.labelled(), file.groups
    z = without_filler(z, find_filler(z))  # `tune` says so
    if (zero := zeros(z, kind)).any():
        raise InputError(
            f"expected probabilities > 0, got 0, {first(zero)}: rounded ones, or those of trees, "
            "tell nothing of smoothing"
        )
    z, y, code, layer = _of_choice(z, y, code, layer)
    foresee(file)
    r, k = rows(z, y), typical_classes(z)
    fitted, form = fit_smoothing(r, k, code), shape(r, k)
    units = y.size if code is None else int(code.max()) + 1
    tuned = tune(file, seed=seed)
    found, finding = verdict(fitted, form, k, units)
    if tuned.class_order is not None:
        found, finding = CANNOT_TELL, "class_order"
    return Diagnosis(
        verdict=found,
        finding=finding,
        n=y.size,
        units=units,
        classes=k,
        errors=r.errors,
        kind=kind,
        smoothing=fitted,
        shape=form,
        max_logit=max_logit_given_msp(r, k, code),
        gradient=gradient(r, fitted.value, k, code),
        repair=tuned,
        geometry=None if layer is None else geometry(z, r.wrong, predict(z), layer),
    )


def _enough(file: HeldOut, layer: Layer | None) -> tuple[HeldOut, Layer | None]:
    """Return a sample of many rows, which their values choose and not their order."""
    n = max(ROWS, LOGITS // file.logits.shape[1])
    if len(file) <= n:
        return file, layer
    some = np.sort(np.argpartition(fingerprints(file), n)[:n])
    rest = None if layer is None else layer._replace(features=layer.features[some])
    sample = file.rows(some)
    if sample.groups is not None:
        sample = replace(sample, groups=np.unique(sample.groups, return_inverse=True)[1])
    return sample, rest


def _of_choice(
    z: Array, y: Array, code: Array | None, layer: Layer | None
) -> tuple[Array, Array, Array | None, Layer | None]:
    """Leave out rows with one possible class: there is nothing to predict."""
    if z.min() > -np.inf:
        return z, y, code, layer
    several = (z.astype(np.float32) > -np.inf).sum(axis=1) > 1
    if not several.any():
        raise InputError("expected `logits` of two possible classes in some row, got none")
    if code is not None:
        code = np.unique(code[several], return_inverse=True)[1].reshape(-1)
    if layer is not None:
        layer = layer._replace(features=layer.features[several])
    return z[several], y[several], code, layer


def _plain(value: Any) -> Any:
    """Nested results as dictionaries of lists and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if hasattr(value, "_asdict"):
        return {key: _plain(v) for key, v in value._asdict().items()}
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value
