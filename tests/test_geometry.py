import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import recuse as rc
import reference_diagnose as slow
from recuse import InputError
from recuse.diagnosis import project
from recuse.diagnosis._geometry import Layer, squared_distances

SETTINGS = settings(deadline=None, derandomize=True, max_examples=60)
EXACT = {"rel": 1e-9, "abs": 1e-9}


def layer(n=300, classes=5, dim=8, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(classes, dim))
    y = rng.integers(0, classes, n)
    x = w[y] + rng.normal(size=(n, dim))
    b = rng.normal(size=classes) if bias else np.zeros(classes)
    return x, w, b, x @ w.T + b, y


@SETTINGS
@given(data=st.data())
def test_logits_are_what_the_distances_and_lengths_imply(data):
    n, k, d = (data.draw(st.integers(1, 4)) for _ in range(3))
    values = st.one_of(st.sampled_from([-1.0, 0.0, 2.0]), st.floats(-100, 100, width=32))
    x, w, b = (data.draw(hnp.arrays(np.float64, s, elements=values)) for s in ((n, d), (k, d), k))
    distances = squared_distances(Layer(x, w, b))
    for i in range(n):
        for j in range(k):
            assert distances[i, j] == pytest.approx(slow.squared_distance(x[i], w[j]), **EXACT)
            lengths = slow.inner(x[i], x[i]) + slow.inner(w[j], w[j])
            implied = (lengths - distances[i, j]) / 2 + b[j]
            assert implied == pytest.approx(slow.inner(x[i], w[j]) + b[j], abs=1e-8)


def test_a_large_feature_without_weight_changes_no_logit_and_is_no_error():
    x, w, b, z, y = layer()
    loud = np.c_[x, np.full(len(x), 1e9)]
    silent = np.c_[w, np.zeros(len(w))]
    found = rc.diagnose(z, y, features=loud, weights=silent, bias=b)
    assert found.geometry.mismatch < 1e-12
    with pytest.raises(InputError, match="features times weights plus bias"):
        rc.diagnose(z, y, features=loud, weights=silent, bias=b + 1)


def test_a_larger_logit_is_a_smaller_distance_only_for_templates_of_equal_length():
    x, w, b, _, y = layer(bias=False)
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    even = rc.diagnose(x @ w.T, y, features=x, weights=w).geometry
    assert even.equal_templates == pytest.approx(0, abs=1e-9)
    nearest = squared_distances(Layer(x, w, b)).argmin(axis=1)
    np.testing.assert_array_equal(nearest, (x @ w.T).argmax(axis=1))
    uneven = w * np.arange(1, 6)[:, None]
    found = rc.diagnose(x @ uneven.T, y, features=x, weights=uneven).geometry
    assert found.equal_templates > 0.1
    nearest = squared_distances(Layer(x, uneven, b)).argmin(axis=1)
    assert (nearest != (x @ uneven.T).argmax(axis=1)).any()


def test_the_geometry_is_its_definition():
    x, w, b, z, y = layer()
    found = rc.diagnose(z, y, features=x, weights=w, bias=b).geometry
    own, spread = {True: [], False: []}, {True: [], False: []}
    for i, row in enumerate(x):
        top = int(z[i].argmax())
        d = [slow.squared_distance(row, t) for t in w]
        others = [v for k, v in enumerate(d) if k != top]
        own[top == y[i]].append(d[top])
        spread[top == y[i]].append(np.std(others) / np.mean(others))
    assert found.own_right == pytest.approx(np.mean(own[True]))
    assert found.own_wrong == pytest.approx(np.mean(own[False]))
    assert found.spread_right == pytest.approx(np.mean(spread[True]))
    assert found.spread_wrong == pytest.approx(np.mean(spread[False]))


def test_projections_keep_distances_within_the_plane_of_the_templates():
    x, w, _, _, y = layer()
    found = project(x, w, y, (4, 0, 2))
    for a in range(3):
        for b in range(3):
            expected = slow.squared_distance(w[(4, 0, 2)[a]], w[(4, 0, 2)[b]])
            assert slow.squared_distance(found.templates[a], found.templates[b]) == pytest.approx(
                expected
            )
    np.testing.assert_array_equal(found.rows, np.flatnonzero(np.isin(y, (0, 2, 4))))
    np.testing.assert_array_equal(np.array([4, 0, 2])[found.labels], y[found.rows])
    moved = x + 5 * np.linalg.svd(w[[0, 2]] - w[4])[2][-1]  # at right angles to the plane
    assert project(moved, w, y, (4, 0, 2)).points == pytest.approx(found.points)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": None}, "expected `weights` of the last layer with `features`, got none"),
        ({"features": np.zeros((299, 8))}, r"for logits of shape \(300, 5\), got \(299, 8\)"),
        ({"bias": np.zeros(4)}, r"\(4,\)"),
        ({"bias": np.full(5, np.nan)}, "finite `bias`"),
        ({"features": np.full((300, 8), np.inf)}, "finite `features`"),
        ({"weights": np.zeros((5, 8), bool)}, "`weights` of a floating dtype"),
        ({"bias": None}, "expected `logits` equal to features times weights plus bias"),
    ],
)
def test_features_that_do_not_fit_the_logits_are_an_error(change, words):
    x, w, b, z, y = layer()
    with pytest.raises(InputError, match=words):
        rc.diagnose(z, y, **{"features": x, "weights": w, "bias": b, **change})


def test_weights_without_features_are_an_error():
    _, w, b, z, y = layer()
    with pytest.raises(InputError, match="expected `features`"):
        rc.diagnose(z, y, weights=w, bias=b)


@pytest.mark.parametrize(
    ("classes", "words"),
    [((0, 1, 1), "three different classes"), ((0, 1, 9), "of 5"), ((0, 1, 2), "one line")],
)
def test_three_classes_that_span_no_plane_are_an_error(classes, words):
    x, w, _, _, y = layer()
    w[2] = 2 * w[1] - w[0]
    with pytest.raises(InputError, match=words):
        project(x, w, y, classes)
