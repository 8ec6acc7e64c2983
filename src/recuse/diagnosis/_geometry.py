"""Penultimate features and their distances to the class templates.

n = predictions, K = classes, D = features; x = features, w = template (row of the last layer),
b = bias, z = x w^T + b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import as_floats, first, is_floating, to_numpy
from recuse.errors import InputError
from recuse.io._stores import reading

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

FEATURES = ("features", "weights", "bias")
TOLERANCE = 1e-2  # of the largest |logit|; features and logits may be stored in half precision


@dataclass(frozen=True)
class Geometry:
    """Means over predictions; `own` refers to the template of the predicted class."""

    own_right: float  # squared distance to the own template; NaN without predictions
    own_wrong: float
    spread_right: float  # standard deviation of the squared distances to the other templates
    spread_wrong: float  # divided by their mean: 0 if all are equally far
    equal_templates: float  # standard deviation of |w_k|^2 + 2 b_k divided by that of the distances
    mismatch: float  # largest |x w + b - z| divided by the largest |z|


class Projection(NamedTuple):
    """Features of three classes on the plane through their templates."""

    points: Float[Array, "n 2"]
    templates: Float[Array, "3 2"]
    labels: Int[Array, " n"]  # which of the three, 0..2
    rows: Int[Array, " n"]  # of the input


class Layer(NamedTuple):
    """Features and the last layer, in float64."""

    features: Float[Array, "n D"]
    weights: Float[Array, "K D"]
    bias: Float[Array, " K"]


def geometry(
    logits: Float[Array, "n K"],
    wrong: Bool[Array, " n"],
    predicted: Int[Array, " n"],
    layer: Layer,
) -> Geometry:
    r"""Measure distances of features from templates, for right and for wrong predictions.

    With $d_k = \lvert x - w_k \rvert^2$, exactly
    $z_k = (\lvert x \rvert^2 + \lvert w_k \rvert^2 - d_k) / 2 + b_k$. So the nearest template
    is that of the predicted class only if $\lvert w_k \rvert^2 + 2 b_k$ is the same for all k;
    `equal_templates` measures the deviation from that.

    Raises:
        InputError: The logits are not those of the features and the layer.

    References:
        Müller, Kornblith & Hinton, NeurIPS 2019.
    """
    d = squared_distances(layer)
    mismatch = _check_logits(logits, layer)
    own = d[np.arange(len(d)), predicted]
    rest = np.arange(d.shape[1])[None] != predicted[:, None]
    others = d[rest].reshape(len(d), -1)
    mean = others.mean(axis=1)
    spread = np.divide(others.std(axis=1), mean, where=mean > 0, out=np.zeros(len(d)))
    level = (layer.weights**2).sum(axis=1) + 2 * layer.bias
    width = float(d.std(axis=1).mean())
    return Geometry(
        *(_mean(own[~wrong]), _mean(own[wrong]), _mean(spread[~wrong]), _mean(spread[wrong])),
        equal_templates=float(level.std()) / width if width > 0 else 0.0,
        mismatch=mismatch,
    )


def project(
    features: ArrayLike, weights: ArrayLike, labels: ArrayLike, classes: Sequence[int]
) -> Projection:
    """Project features of three classes on the plane through the templates of these classes.

    The first axis points from the first template to the second; the origin is the first.

    Args:
        features: Shape (n, D).
        weights: Shape (K, D).
        labels: Shape (n,); rows of other classes are left out.
        classes: Three different classes.

    Raises:
        InputError: Not three different classes, or their templates lie on one line.

    References:
        Müller, Kornblith & Hinton, NeurIPS 2019, figure 1.

    >>> w = np.array([[0.0, 0, 1], [2, 0, 1], [0, 3, 1]])
    >>> project(w, w, [0, 1, 2], (0, 1, 2)).points
    array([[0., 0.],
           [2., 0.],
           [0., 3.]])
    """
    x = _matrix(features, "features")
    w = _matrix(weights, "weights")
    y = to_numpy(labels)
    three = [int(c) for c in classes]
    if len(set(three)) != 3 or not all(0 <= c < len(w) for c in three):
        raise InputError(f"expected three different classes of {len(w)}, got {tuple(classes)}")
    if y.shape != (len(x),):
        raise InputError(f"expected `labels` of shape ({len(x)},), got {y.shape}")
    basis = plane(w[three])
    rows = np.flatnonzero(np.isin(y, three))
    which = np.array([three.index(int(c)) for c in y[rows]], dtype=np.int64)
    origin = w[three[0]]
    return Projection((x[rows] - origin) @ basis.T, (w[three] - origin) @ basis.T, which, rows)


def plane(templates: Float[Array, "3 D"]) -> Float[Array, "2 D"]:
    """Orthonormal basis of the plane through three points (Gram & Schmidt)."""
    one, two = templates[1] - templates[0], templates[2] - templates[0]
    along = one / np.linalg.norm(one) if one.any() else one
    across = two - (two @ along) * along
    if not np.linalg.norm(across) > 1e-9 * np.linalg.norm(templates - templates.mean(axis=0)):
        raise InputError("expected three templates that span a plane, got three on one line")
    return np.stack([along, across / np.linalg.norm(across)])


def squared_distances(layer: Layer) -> Float[Array, "n K"]:
    """Squared distance of each row to each template, without cancellation of expanded squares."""
    return np.stack([((layer.features - w) ** 2).sum(axis=1) for w in layer.weights], axis=1)


def read_features(path: Path) -> dict[str, Array]:
    """Read `features`, `weights` and, if there is one, `bias` from one file."""
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError(f"{path}: expected features in .npz or .safetensors, got {path.suffix!r}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with reading(path):
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
        else:
            from safetensors.numpy import load_file

            arrays = load_file(path)
    if not {"features", "weights"} <= set(arrays) <= set(FEATURES):
        raise InputError(
            f"{path}: expected arrays `features`, `weights` and optionally `bias`, "
            f"got {', '.join(sorted(arrays)) or 'none'}"
        )
    return arrays


def check_layer(
    features: ArrayLike | None,
    weights: ArrayLike | None,
    bias: ArrayLike | None,
    shape: tuple[int, ...],
) -> Layer | None:
    """Check that features, weights and bias fit the shape of the logits; None without features."""
    if features is None:
        if weights is not None or bias is not None:
            raise InputError("expected `features` with `weights` or `bias`, got none")
        return None
    if weights is None:
        raise InputError("expected `weights` of the last layer with `features`, got none")
    x, w = _matrix(features, "features"), _matrix(weights, "weights")
    b = np.zeros(len(w)) if bias is None else _numbers(bias)
    expected = (shape[0], x.shape[1]), (shape[1], x.shape[1]), (shape[1],)
    if len(shape) != 2 or (x.shape, w.shape, b.shape) != expected:
        raise InputError(
            f"expected `features` (n, D), `weights` (K, D) and `bias` (K,) for logits of shape "
            f"{shape}, got {x.shape}, {w.shape} and {b.shape}"
        )
    if not np.isfinite(b).all():
        raise InputError("expected finite `bias`, got NaN or an infinity")
    return Layer(x, w, b)


def _check_logits(z: Float[Array, "n K"], layer: Layer) -> float:
    """Return the largest relative difference of the logits from those of the layer.

    It is computed from the products: in squared distances, a large feature of weight 0 cancels.
    """
    z = z.astype(np.float64)
    made = layer.features @ layer.weights.T + layer.bias
    z = np.where(np.isneginf(z), made, z)  # a mask came after the layer
    gap = np.abs(made - z)
    scale = max(float(np.abs(z).max()), 1e-300)
    bad = (gap > TOLERANCE * scale).any(axis=1)
    if bad.any():
        raise InputError(
            "expected `logits` equal to features times weights plus bias, got a difference of "
            f"{gap.max():.3g}, {first(bad)}"
        )
    return float(gap.max()) / scale


def _matrix(values: ArrayLike, name: str) -> Float[Array, "m D"]:
    x = as_floats(to_numpy(values))
    if not is_floating(x.dtype) or x.ndim != 2 or 0 in x.shape:
        raise InputError(
            f"expected `{name}` of a floating dtype and two axes, got {x.dtype} {x.shape}"
        )
    x = x.astype(np.float64)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise InputError(f"expected finite `{name}`, got NaN or an infinity, {first(bad)}")
    return x


def _numbers(bias: ArrayLike) -> Float[Array, " K"]:
    b = to_numpy(bias)
    if b.dtype.kind not in "iu" and not is_floating(b.dtype):
        raise InputError(f"expected `bias` of a floating dtype, got {b.dtype}")
    return b.astype(np.float64)


def _mean(x: Float[Array, " n"]) -> float:
    return float(x.mean()) if x.size else float("nan")
