"""The rows of docs/coming-from.md that say "equal", against torch-uncertainty itself."""

import numpy as np
import pytest

from recuse import calibration, coverage_at_risk, risk_at_coverage, scores

pytest.importorskip(
    "benchmarks.peers", reason="torch-uncertainty is not installed: `make bench` does"
)
import torch
from torch_uncertainty import losses as theirs
from torch_uncertainty.metrics import classification

from recuse import losses

FLOAT32 = 1e-5  # theirs


@pytest.fixture
def data():
    """Logits of 500 rows and 4 classes without ties, their probabilities, labels."""
    g = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(500, 4, generator=g, dtype=torch.float64)
    other = torch.randint(4, (500,), generator=g)
    y = torch.where(torch.rand(500, generator=g) < 0.6, z.argmax(1), other)
    return z, z.softmax(1), y


def of(metric, probs, labels):
    metric.update(probs, labels)
    return float(metric.compute())


def ranked(z, y):
    return scores.msp(z), (scores.predict(z) != y.numpy()).astype(float)


def test_a_risk_that_no_coverage_has_is_nan_there_and_0_here(data):
    z, p, y = data
    assert np.isnan(of(classification.CovAtxRisk(0.1), p, y))
    assert coverage_at_risk(*ranked(z, y), 0.1) == 0


@pytest.mark.parametrize("level", [0.2, 0.3, 0.5])
def test_points_are_equal_without_ties(data, level):
    z, p, y = data
    assert of(classification.CovAtxRisk(level), p, y) == pytest.approx(
        coverage_at_risk(*ranked(z, y), level), abs=FLOAT32
    )
    assert of(classification.RiskAtxCov(level), p, y) == pytest.approx(
        risk_at_coverage(*ranked(z, y), level), abs=FLOAT32
    )


def test_calibration_is_equal(data):
    z, p, y = data
    c, wrong = ranked(z, y)
    ece = classification.CalibrationError(task="multiclass", num_classes=4, num_bins=15)
    ours = calibration.ece(scores.as_probability(c), wrong)
    assert of(ece, p, y) == pytest.approx(ours, abs=FLOAT32)
    brier = of(classification.BrierScore(num_classes=4), p, y)
    assert brier == pytest.approx(calibration.brier(z, y), abs=FLOAT32)
    nll = of(classification.CategoricalNLL(), p, y)
    assert nll == pytest.approx(calibration.nll(z, y), abs=FLOAT32)


def test_losses_are_equal(data):
    z, _, y = data
    maxsup = theirs.CrossEntropyMaxSupLoss(max_sup=0.1)(z, y)
    assert torch.isclose(maxsup, losses.MaxSuppression(0.1)(z, y))
    binary = theirs.BCEWithLogitsLSLoss(label_smoothing=0.1)(z[:, 0].float(), (y > 1).float())
    ours = losses.SmoothedBCEWithLogits(0.1)(z[:, 0].float(), (y > 1).float())
    assert np.isclose(binary, ours)
