"""Decisions by costs in PyTorch and in onnxruntime are those of NumPy, at the boundary too."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse as rc
from recuse.scores import Score
from samples import equal_costs, masked, pixels, sample
from strategies import logits as logits_of

torch = pytest.importorskip("torch", reason="needs the extra torch")

from recuse.export import check_onnx, read_metadata, to_module, to_onnx  # noqa: E402
from recuse.export._costs import cheapest  # noqa: E402

RAGGED = np.random.default_rng(0).uniform(size=(5, 6)).round(2)
RAGGED[:, -1] = 0.3
Z, Y = sample(2000, seed=2)
FITTED = rc.fit((Z, Y), costs=RAGGED)
TWO = rc.fit((Z[:, :2], Y % 2), costs=[[0, 1, 0.3], [10, 0, 0.3]])


def same(module, z):
    """Label, float32 confidence and decision, to the last bit; p_correct as a float32."""
    found, expected = module(torch.from_numpy(z)), module.rejector.predict(z)
    for ours, theirs in zip(found[1:4], expected):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    np.testing.assert_allclose(found[4], expected.p_correct, atol=2e-7)


def boundary(rejector):
    """Float32 log-odds around every change of the decision of two classes, found by bisection."""

    def decide(x):
        p = rejector.predict(np.array([[0.0, x]]))
        return int(p.prediction[0]), bool(p.accept[0])

    grid, found = np.linspace(-30.1, 30, 118), []
    for low, high in pairwise(grid):
        if decide(low) == decide(high):
            continue
        at = decide(low)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if decide(middle) == at else (low, middle)
        found.append(np.float32(high))
    return found


def neighbours(x, steps=3):
    """The float32 values beside x, and x."""
    below, above = [x], [x]
    for _ in range(steps):
        below.append(np.nextafter(below[-1], np.float32(-np.inf)))
        above.append(np.nextafter(above[-1], np.float32(np.inf)))
    return np.array([*below[::-1], *above[1:]], np.float32)


def edges():
    """Logits of two classes under, at and over every boundary."""
    x = np.concatenate([neighbours(b) for b in boundary(TWO)])
    return np.c_[np.zeros_like(x), x]


@pytest.mark.parametrize("rejector", [FITTED, TWO], ids=["five", "two"])
def test_decisions_by_costs_are_those_of_numpy_whatever_the_precision(rejector):
    module = to_module(torch.nn.Identity(), rejector)
    z = Z if rejector is FITTED else Z[:, :2]
    for rows in (z, z.astype(np.float16), z.astype(np.float64), masked(z)):
        same(module, rows)


def test_under_at_and_over_every_boundary_the_decision_is_the_same():
    assert len(boundary(TWO)) == 3  # healthy; abstained: healthy, sick; sick
    z = edges()
    same(to_module(torch.nn.Identity(), TWO), z)
    p = TWO.predict(z)
    assert {*p.accept.tolist()} == {True, False}
    assert {*p.prediction.tolist()} == {0, 1}


def test_exact_ties_take_the_lowest_class_and_are_answered():
    score = Score("expected_cost", {"temperature": 1.0, "costs": tuple(np.ravel(
        equal_costs(3, 1.0, 2 / 3)).tolist())})  # fmt: skip
    for shift in (0.0, 0.1, -7.3):
        z = np.full((1, 3), shift)
        label, confidence, probability = cheapest(score, torch.from_numpy(z))
        assert (int(label), float(confidence)) == (0, 0.0) == (0, score(z)[0])
        assert float(probability) == pytest.approx(1 / 3)


@given(z=logits_of(classes=st.just(5)), temperature=st.sampled_from([0.5, 1.0, 2.7]))
def test_of_any_logits_the_confidence_is_that_of_numpy_but_for_a_step(z, temperature):
    flat = tuple(RAGGED.ravel().tolist())
    score = Score("expected_cost", {"temperature": temperature, "costs": flat})
    _, confidence, _ = cheapest(score, torch.from_numpy(z))
    np.testing.assert_allclose(confidence.numpy(), score(z), atol=2**-38, rtol=2e-7)


def test_what_are_no_logits_is_never_answered():
    nan, inf = math.nan, math.inf
    bad = [[nan, 9], [inf, 9], [-inf, -inf], [1e300, 0]]
    found = to_module(torch.nn.Identity(), TWO)(torch.tensor(bad, dtype=torch.float64))
    assert found.label.tolist() == [-1] * 4
    assert not found.accept.any()
    assert found.confidence.isnan().all()
    assert found.p_correct.isnan().all()


def test_pixels_are_decided_one_by_one():
    z, y = pixels(60)
    same(to_module(torch.nn.Identity(), rc.fit((z, y), costs=equal_costs(3, 1.0, 0.2))), z)


@pytest.mark.parametrize("name", ["five", "two"])
def test_an_onnx_file_decides_alike(tmp_path, name):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    rejector, z = (FITTED, Z) if name == "five" else (TWO, edges())
    module, file = to_module(torch.nn.Identity(), rejector), tmp_path / "m.onnx"
    to_onnx(module, file, torch.from_numpy(z[:4]))
    found = check_onnx(file, module, torch.from_numpy(z))
    assert (found.decisions, found.changed) == (0, 0)
    assert found.confidences <= 0.01 * found.predictions
    assert read_metadata(file).rejector == rejector
