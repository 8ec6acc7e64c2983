"""Confidences and losses of images against loops over pixels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import recuse as rc

FLOAT32 = 1e-6  # confidences are rounded once to float32
VOID = -100
LEVELS = st.sampled_from([-2.0, 0.0, 0.5, 3.0])  # few, so that classes tie


@st.composite
def scenes(draw):
    n, k, h, w = (draw(st.integers(low, 3)) for low in (1, 2, 1, 2))
    z = draw(hnp.arrays(np.float64, (n, k, h, w), elements=LEVELS))
    y = draw(hnp.arrays(np.int64, (n, h, w), elements=st.sampled_from([VOID, *range(k)])))
    y[:, 0, 0] = draw(st.integers(0, k - 1))
    return z, y


def softmax(z):
    e = [math.exp(v) for v in z]
    return [v / math.fsum(e) for v in e]


def pixels_of(z):
    """(probabilities, predicted class) of each pixel of an image (K, H, W)."""
    columns = z.reshape(len(z), -1).T.tolist()
    return [(softmax(c), c.index(max(c))) for c in columns]


def soft_dice_of(z, classes):
    pixels, found = pixels_of(z), []
    for k in classes:
        inside = math.fsum(p[k] for p, guess in pixels if guess == k)
        size = sum(guess == k for _, guess in pixels)
        if size:
            found.append(2 * inside / (math.fsum(p[k] for p, _ in pixels) + size))
    return math.fsum(found) / len(found) if found else 0.0


def overlaps(z, y, classes, ratio):
    """1 - the mean of ratio(both, predicted, labelled) over the classes that are there."""
    pairs = [(guess, t) for (_, guess), t in zip(pixels_of(z), y.ravel().tolist()) if t != VOID]
    found = []
    for k in classes:
        a, b = sum(guess == k for guess, _ in pairs), sum(t == k for _, t in pairs)
        if a + b:
            found.append(ratio(sum(guess == t == k for guess, t in pairs), a, b))
    return 1 - math.fsum(found) / len(found) if found else 0.0


@given(scenes())
def test_soft_dice_is_the_mean_over_predicted_classes(scene):
    z, _ = scene
    for classes in (None, (1,)):
        of = range(z.shape[1]) if classes is None else classes
        expected = [soft_dice_of(image, of) for image in z]
        found = rc.images.soft_dice(z, classes=classes)
        np.testing.assert_allclose(found, expected, rtol=FLOAT32)


@given(scenes())
def test_pixels_of_msp_are_averaged_or_ranked(scene):
    z, _ = scene
    msp = [sorted(max(p) for p, _ in pixels_of(image)) for image in z]
    mean = [math.fsum(ps) / len(ps) for ps in msp]
    np.testing.assert_allclose(rc.images.mean_msp(z), mean, rtol=FLOAT32)
    for q in (0.05, 0.5, 0.9):
        low = [ps[math.floor(q * (len(ps) - 1))] for ps in msp]
        found = rc.scores.as_probability(rc.images.quantile_msp(z, q=q))
        np.testing.assert_allclose(found, low, rtol=FLOAT32)


@given(scenes())
def test_losses_are_those_of_loops_over_labelled_pixels(scene):
    z, y = scene
    dice, iou = (lambda c, a, b: 2 * c / (a + b)), (lambda c, a, b: c / (a + b - c))
    for classes in (None, (0,), (1, 0)):
        of = range(z.shape[1]) if classes is None else classes
        for loss, ratio in ((rc.images.dice_loss, dice), (rc.images.iou_loss, iou)):
            expected = [overlaps(image, label, of, ratio) for image, label in zip(z, y)]
            np.testing.assert_allclose(loss(z, y, classes=classes), expected, atol=1e-12)
    wrong = []
    for image, label in zip(z, y):
        pairs = zip(pixels_of(image), label.ravel().tolist())
        errors = [guess != t for (_, guess), t in pairs if t != VOID]
        wrong.append(sum(errors) / len(errors))
    np.testing.assert_allclose(rc.images.pixel_error(z, y), wrong, atol=1e-12)


@given(scenes())
def test_confidences_and_losses_keep_to_the_unit_interval(scene):
    z, y = scene
    for loss in rc.images.LOSSES.values():
        assert ((loss(z, y) >= 0) & (loss(z, y) <= 1)).all()
    for confidence in (rc.images.soft_dice, rc.images.mean_msp):
        assert ((confidence(z) >= 0) & (confidence(z) <= 1)).all()


def test_certain_masks_that_are_right_score_one_and_lose_nothing():
    y = np.array([[[0, 1, 2], [2, 2, 0]]])
    z = 100 * np.moveaxis(np.eye(3)[y], -1, 1)
    assert rc.images.soft_dice(z) == 1
    assert all(loss(z, y) == 0 for loss in rc.images.LOSSES.values())


def test_each_image_stands_alone():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(5, 4, 6, 7)).astype(np.float16), rng.integers(0, 4, (5, 6, 7))
    for confidence in rc.images.CONFIDENCES.values():
        alone = np.concatenate([confidence(z[i : i + 1]) for i in range(5)])
        assert (confidence(z) == alone).all()
    for loss in rc.images.LOSSES.values():
        alone = np.concatenate([loss(z[i : i + 1], y[i : i + 1]) for i in range(5)])
        assert (loss(z, y) == alone).all()


def test_an_impossible_class_has_no_mass():
    z = np.zeros((1, 3, 1, 2))
    z[:, 2] = -np.inf
    assert rc.images.soft_dice(z) == rc.images.soft_dice(z[:, :2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: rc.images.mean_msp(z[:, :, 0, 0]), "of images"),
        (lambda z, y: rc.images.soft_dice(z, classes=(0, 3)), r"in 0\.\.2"),
        (lambda z, y: rc.images.soft_dice(z, classes=()), "distinct"),
        (lambda z, y: rc.images.quantile_msp(z, q=1), "`q`"),
        (lambda z, y: rc.images.dice_loss(z, y + 2), r"0\.\.2, got others, row 1"),
        (lambda z, y: rc.images.dice_loss(z, np.full(y.shape, VOID)), "void pixels alone, rows 0"),
        (lambda z, y: rc.images.iou_loss(z, y[:, 0]), "shape"),
    ],
)
def test_what_cannot_be_an_image_is_refused(call, message):
    z, y = np.zeros((2, 3, 2, 2)), np.zeros((2, 2, 2), int)
    y[1] = 1
    with pytest.raises(rc.InputError, match=message):
        call(z, y)


def test_the_command_line_writes_a_table_that_fit_reads(recuse, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (400, 6, 6))
    noise = rng.uniform(0.2, 3, (400, 1, 1, 1))
    z = (np.moveaxis(np.eye(3)[y], -1, 1) + noise * rng.normal(size=(400, 3, 6, 6))) / noise
    y[:, 0] = VOID
    names = np.array([f"scene {i}" for i in range(400)])
    rc.write_logits(tmp_path / "scenes.npz", z, y, ids=names, ignore_index=VOID)
    code, out, _ = recuse("images", "scenes.npz", "--out", "scenes.csv")
    assert (code, out.split(":")[0]) == (0, "Written to scenes.csv")
    found = rc.read(tmp_path / "scenes.csv")
    np.testing.assert_array_equal(found.ids, names)
    np.testing.assert_array_equal(found.logits[:, 0].astype(np.float32), rc.images.soft_dice(z))
    np.testing.assert_allclose(found.labels, rc.images.dice_loss(z, y), rtol=FLOAT32)
    assert recuse("fit", "scenes.csv", "--target-risk", 0.4)[0] == 0
    rc.write_logits(tmp_path / "new.npz", z[:10])
    assert recuse("images", "new.npz", "--out", "new.csv", "--confidence", "mean_msp")[0] == 0
    assert "loss" not in (tmp_path / "new.csv").read_text().splitlines()[0]
    code, _, err = recuse("images", "new.npz", "--out", "b.csv", "--loss", "ce")
    assert (code, err) == (
        2,
        "recuse: expected --loss dice_loss, iou_loss, pixel_error, got 'ce'\n",
    )
    code, _, err = recuse("images", "scenes.csv", "--out", "b.csv", "--quiet")
    assert (code, err) == (
        2,
        "recuse: scenes.csv: expected logits of pixels, (n, K, H, W), got (400, 1)\n",
    )
    assert not (tmp_path / "b.csv").exists()
