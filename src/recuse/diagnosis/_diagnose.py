"""`diagnose`: gather the evidence, apply the rule.

n = rows, K = classes, D = features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recuse._internal.check import check_groups, per_row, to_numpy
from recuse.calibration import flat
from recuse.diagnosis._geometry import check_layer, geometry
from recuse.diagnosis._max_logit import gradient, max_logit_given_msp
from recuse.diagnosis._result import Diagnosis
from recuse.diagnosis._rows import rows
from recuse.diagnosis._shape import shape
from recuse.diagnosis._smoothing import fit_smoothing
from recuse.diagnosis._verdict import recommendation, verdict
from recuse.scores import predict
from recuse.tuning import tune

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def diagnose(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    features: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    kind: str = "logits",
    seed: int = 0,
) -> Diagnosis:
    """Whether held-out logits show the fingerprint of label smoothing, and what to do about it.

    The logits must be those that the model was trained with. Rescaled ones (temperature scaling)
    lose the level of the probabilities; what is left is their shape, and the verdict says so.
    How often the verdict is right was measured: docs/how-to/diagnose.md.

    Args:
        logits: Shape (n, K, ...), finite, of data that was not used for training.
        labels: Shape (n, ...).
        groups: Shape (n,) or that of `labels`: rows of one group are not independent.
        features: Shape (n, D), the input of the last layer; needs `weights`, and logits (n, K).
        weights: Shape (K, D), of the last layer.
        bias: Shape (K,), of the last layer; zero if None.
        kind: "probs" where the logits are logarithms of probabilities, as of
            `scores.from_probs`: MSP is then the only score that is recommended.
        seed: Of the folds of `tune`.

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
    shaped = to_numpy(logits)
    z, y = flat(shaped, labels)
    code = None
    if groups is not None:
        code = check_groups(per_row(groups, to_numpy(labels)), y.size)
    layer = check_layer(features, weights, bias, shaped.shape)
    r, k = rows(z, y, kind), z.shape[1]
    fitted, form = fit_smoothing(r, k, code), shape(r, k)
    units = y.size if code is None else int(code.max()) + 1
    tuned = tune(shaped, labels, groups=groups, kind=kind, seed=seed)
    found, reason = verdict(fitted, form, k, units)
    return Diagnosis(
        verdict=found,
        reason=reason,
        recommendation=recommendation(found, tuned, kind),
        n=y.size,
        classes=k,
        errors=r.errors,
        smoothing=fitted,
        shape=form,
        max_logit=max_logit_given_msp(r, k, code),
        gradient=gradient(r, fitted.value, k, code),
        repair=tuned,
        msp_aurc=tuned.table[0][1],
        geometry=None if layer is None else geometry(z, r.wrong, predict(z), layer),
    )
