"""Labels in another order than the outputs."""

import numpy as np
import pytest
from benchmarks.class_order import KINDS, poor

import recuse as rc
from recuse import write_logits
from recuse.errors import DataWarning
from recuse.tuning._class_order import MOST_CLASSES, Pairs
from samples import sample


def found(labels, predicted, classes):
    pairs = Pairs(classes)
    for part in np.array_split(np.arange(len(labels)), 3):
        pairs(predicted[part], labels[part])
    return pairs.order()


def answers(classes, accuracy, n, seed=0):
    """Labels, and predictions that are right or independent."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return labels, np.where(rng.random(n) < accuracy, labels, rng.integers(0, classes, n))


@pytest.mark.parametrize("accuracy", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_a_permutation_of_the_labels_is_found_and_the_right_order_is_none(classes, accuracy):
    labels, predicted = answers(classes, accuracy, max(1000, 50 * classes))
    assert found(labels, predicted, classes) is None
    rng = np.random.default_rng(1)
    places = (np.arange(classes) + 1) % classes if classes < 4 else rng.permutation(classes)
    order = found(places[labels], predicted, classes)
    moved = places != np.arange(classes)
    assert order.output == {int(places[k]): int(k) for k in np.flatnonzero(moved)}
    right = (labels == predicted).mean()
    assert order.reordered == pytest.approx(right)
    assert order.accuracy == pytest.approx((places[labels] == predicted).mean())


def test_a_shift_a_swap_and_another_order_are_said_with_their_classes():
    labels, predicted = answers(9, 0.93, 2000)
    text = str(found(labels + 1, predicted, 10))
    assert text.startswith(
        "labels look shifted by one: label k matches output k - 1 in 94.0 % of the rows; the "
        "accuracy is 0.4 %, and 94.0 % in that order: reorder"
    )
    labels, predicted = answers(2, 0.8, 500)
    assert "look swapped: label 0 matches output 1, label 1 matches" in str(
        found(1 - labels, predicted, 2)
    )
    labels, predicted = answers(10, 0.9, 1000)
    places = np.arange(10)
    places[[3, 7, 8]] = 7, 8, 3
    text = str(found(places[labels], predicted, 10))
    assert "another order than the outputs: label 3 matches output 8, label 7 matches" in text


@pytest.mark.parametrize("kind", KINDS)
def test_poor_models_raise_no_alarm(kind):
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(200):
        classes, n = int(rng.choice([2, 3, 5, 10, 50, 200])), int(rng.choice([50, 300, 3000]))
        alarms += found(*poor(kind, classes, n, rng), classes) is not None
    assert alarms == 0


def test_with_very_many_classes_nothing_is_counted():
    pairs = Pairs(MOST_CLASSES + 1)
    pairs(np.zeros(100, int), np.ones(100, int))
    assert pairs.order() is None


def test_every_verb_says_it_and_a_diagnosis_does_not_say_that_nothing_is_known():
    splits = [sample(400, seed=seed) for seed in range(3)]
    shifted = [(z, (y + 1) % 5) for z, y in splits]
    note = "labels look in another order than the outputs: label 0 matches output 4"
    with pytest.warns(DataWarning, match=note):
        tuned = rc.tune(*shifted[0])
    assert tuned.class_order.output == {k: (k - 1) % 5 for k in range(5)}
    with pytest.warns(DataWarning, match=note):
        diagnosis = rc.diagnose(*shifted[0])
    assert (diagnosis.verdict, diagnosis.finding) == ("cannot tell", "class_order")
    assert note in diagnosis.reason
    assert "no information" not in str(diagnosis)
    with pytest.warns(DataWarning, match=note), pytest.raises(rc.InfeasibleError):
        rc.fit(*shifted[:2], target_risk=0.2)
    with pytest.warns(DataWarning, match=note):
        rc.evaluate({"net": dict(zip(("tune", "calibrate", "test"), shifted))}, progress=False)


def test_a_calibration_split_of_another_order_or_mask_than_tune_is_said():
    tune, (z, y) = sample(400, seed=0), sample(400, seed=1)
    order = pytest.warns(DataWarning, match="calibrate: labels look in another order")
    with order, pytest.raises(rc.InfeasibleError):
        rc.fit(tune, (z, (y + 1) % 5), target_risk=0.2)
    z[:, 2] = np.where(y == 2, z[:, 2], -1e4)
    with pytest.warns(DataWarning, match="calibrate: values of -5000 or less look like masked"):
        rc.fit(tune, (z, y), target_risk=0.2)


def test_the_command_line_warns_in_one_line(recuse, tmp_path):
    z, y = sample(400)
    write_logits(tmp_path / "a.npz", z, (y + 1) % 5)
    for command in ("evaluate", "diagnose"):
        code, _, err = recuse(command, "a.npz")
        assert code == 0
        assert err.startswith("recuse: warning: ")
        assert (err.count("\n"), err.count("label 0 matches output 4")) == (1, 1)
    write_logits(tmp_path / "b.npz", z, y)
    assert recuse("evaluate", "b.npz")[2] == ""
