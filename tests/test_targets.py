import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_losses as reference
from recuse import targets
from recuse.errors import InputError
from recuse.losses import smoothed_cross_entropy

# float32 holds 2^-24 relative; a target is a handful of operations on numbers below 2.
FLOAT32 = 1e-6
# The same operations in float64, reference and ours.
FLOAT64 = 1e-12

examples = settings(deadline=None, derandomize=True, max_examples=60)
conventions = st.sampled_from(["uniform", "exclude_true"])
smoothings = st.sampled_from([-2.0, -0.3, 0.0, 0.1, 0.5, 1.0])


def rows(x, k):
    """(n, K, ...) as rows of K numbers, pixel by pixel."""
    return x.movedim(1, -1).reshape(-1, k).tolist()


@examples
@given(
    shape=st.sampled_from([(1,), (5,), (2, 3), (2, 2, 3)]),
    k=st.integers(2, 5),
    smoothing=smoothings,
    convention=conventions,
    with_prior=st.booleans(),
    seed=st.integers(0, 99),
)
def test_targets_of_labels_are_the_definition(shape, k, smoothing, convention, with_prior, seed):
    torch.manual_seed(seed)
    labels = torch.randint(-1, k, shape)
    with_prior = with_prior and convention == "uniform"
    prior = torch.rand(k).softmax(0) if with_prior else None
    q = targets.smooth(labels, k, smoothing, convention=convention, prior=prior, ignore_index=-1)
    expected = [
        reference.smoothed_target(
            y, k, smoothing, convention, prior.tolist() if with_prior else None, ignore_index=-1
        )
        for y in labels.flatten().tolist()
    ]
    assert q.shape == (shape[0], k, *shape[1:])
    torch.testing.assert_close(
        torch.tensor(rows(q, k)), torch.tensor(expected), rtol=FLOAT32, atol=FLOAT32
    )


@examples
@given(k=st.integers(2, 5), smoothing=smoothings, convention=conventions, seed=st.integers(0, 99))
def test_targets_of_soft_targets_are_the_definition(k, smoothing, convention, seed):
    torch.manual_seed(seed)
    soft = torch.rand(3, k, 2, dtype=torch.float64).softmax(1)
    q = targets.smooth(soft, k, smoothing, convention=convention)
    expected = [reference.smoothed_target(t, k, smoothing, convention) for t in rows(soft, k)]
    torch.testing.assert_close(
        torch.tensor(rows(q, k), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        rtol=FLOAT64,
        atol=FLOAT64,
    )


@examples
@given(
    k=st.integers(2, 5),
    smoothing=smoothings,
    soft=st.booleans(),
    pixels=st.sampled_from([(), (2,)]),
    seed=st.integers(0, 99),
)
def test_a_prior_for_each_label_is_the_definition(k, smoothing, soft, pixels, seed):
    torch.manual_seed(seed)
    prior = torch.rand(k, k, dtype=torch.float64).softmax(1)
    target = torch.randint(-1, k, (4, *pixels))
    if soft:
        target = torch.rand(4, k, *pixels, dtype=torch.float64).softmax(1)
    q = targets.smooth(target, k, smoothing, prior=prior, ignore_index=-1)
    expected = [
        reference.smoothed_target(t, k, smoothing, "uniform", prior.tolist(), ignore_index=-1)
        for t in (rows(target, k) if soft else target.flatten().tolist())
    ]
    tolerance = FLOAT64 if soft else FLOAT32
    torch.testing.assert_close(
        torch.tensor(rows(q, k), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
    )


@examples
@given(k=st.integers(2, 5), smoothing=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 99))
def test_smooth_labels_is_that_of_composer(k, smoothing, seed):
    torch.manual_seed(seed)
    labels = torch.randint(k, (3, 2))
    logits = torch.zeros(3, k, 2, dtype=torch.float16)
    expected = torch.tensor(
        [reference.composer(y, k, smoothing) for y in labels.flatten().tolist()]
    )
    one_hot = targets.smooth(labels, k, 0)
    for target in (labels, one_hot, one_hot.long()):
        q = targets.smooth_labels(logits, target, smoothing)
        assert q.dtype == torch.float32
        assert q.shape == logits.shape
        torch.testing.assert_close(torch.tensor(rows(q, k)), expected, rtol=FLOAT32, atol=FLOAT32)


def test_smooth_labels_leaves_ignored_labels_ignored_where_composer_trains_them():
    q = targets.smooth_labels(torch.zeros(2, 4), torch.tensor([-100, 1]), 0.2)
    assert q[0].tolist() == [0, 0, 0, 0]


@examples
@given(k=st.integers(2, 4), pixels=st.sampled_from([(), (3,)]), seed=st.integers(0, 99))
def test_online_rows_are_the_mean_softmax_of_correct_predictions(k, pixels, seed):
    torch.manual_seed(seed)
    online = targets.OnlineSmoothing(k, first=0.1, ignore_index=-1)
    first = [reference.smoothed_target(c, k, 0.1) for c in range(k)]
    assert online.prior.tolist() == [pytest.approx(row, abs=FLOAT32) for row in first]
    batches = []
    for _ in range(3):
        logits = torch.randn(4, k, *pixels)
        labels = torch.randint(-1, k, (4, *pixels))
        online.update(logits, labels)
        batches += zip(rows(logits, k), labels.flatten().tolist())
    online.step()
    expected = reference.online_rows(first, batches)
    assert online.prior.tolist() == [pytest.approx(row, abs=FLOAT32) for row in expected]
    assert not online.count.any()
    assert not online.total.any()
    labels = torch.arange(k)
    expected = [reference.smoothed_target(y, k, 0.5, prior=expected) for y in range(k)]
    assert online(labels).tolist() == [pytest.approx(row, abs=FLOAT32) for row in expected]


def test_a_class_without_a_correct_prediction_keeps_its_soft_label():
    online = targets.OnlineSmoothing(3)
    before = online.prior.clone()
    online.update(torch.eye(3), torch.tensor([0, 2, 1]))
    online.step()
    assert torch.equal(online.prior[1:], before[1:])
    assert not torch.equal(online.prior[0], before[0])


def test_online_rows_and_sums_are_saved_within_an_epoch():
    online, copy = targets.OnlineSmoothing(2), targets.OnlineSmoothing(2)
    online.update(torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([0]))
    copy.load_state_dict(online.state_dict())
    online.step()
    copy.step()
    assert torch.equal(online.prior, copy.prior)
    assert not online.prior.requires_grad


def test_an_ignored_label_gets_a_zero_row_and_never_a_uniform_one():
    soft = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for target in (torch.tensor([-100, 1]), soft):
        q = targets.smooth(target, 3, 0.3)
        assert q[0].tolist() == [0, 0, 0]
        assert q[1].sum() == pytest.approx(1, abs=FLOAT32)


def test_mixing_and_smoothing_commute():
    first, second = torch.tensor([0, 2]), torch.tensor([1, 2])

    def one_hot(labels):
        return targets.smooth(labels, 3, 0)

    mixed = targets.smooth(0.3 * one_hot(first) + 0.7 * one_hot(second), 3, 0.2)
    apart = 0.3 * targets.smooth(first, 3, 0.2) + 0.7 * targets.smooth(second, 3, 0.2)
    torch.testing.assert_close(mixed, apart, rtol=FLOAT32, atol=FLOAT32)


def test_soft_targets_keep_their_dtype_and_are_not_changed_in_place():
    soft = torch.eye(3, dtype=torch.float16)
    assert targets.smooth(soft, 3, 0.1).dtype == torch.float16
    assert soft.tolist() == torch.eye(3).tolist()


@given(
    k=st.integers(2, 12),
    smoothing=st.sampled_from([0.05, 0.1, 0.3]),
    mixed=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    pixels=st.booleans(),
    seed=st.integers(0, 99),
)
def test_targets_that_are_smoothed_already_show_by_how_much(
    k, smoothing, mixed, dtype, pixels, seed
):
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, k, (16, 2, 2) if pixels else 16))
    target = targets.smooth(labels, k, smoothing)
    if mixed and k > 3:  # MixUp of smoothed targets, as timm's does
        target = 0.3 * target + 0.7 * target.roll(1, 0)
    found = targets.smoothing_of(target.to(dtype))
    assert found == pytest.approx(smoothing, rel=0.01 if dtype == torch.bfloat16 else 1e-3)
    assert targets.smoothing_of(targets.smooth(labels, k, 0.0)) == 0


@given(k=st.integers(2, 8), seed=st.integers(0, 99))
def test_targets_of_a_teacher_or_of_mixup_alone_are_not_called_smoothed(k, seed):
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(20, k, generator=generator).softmax(1)
    one_hot = torch.eye(k)[torch.randint(k, (20,), generator=generator)]
    one_hot[:2] = torch.eye(k)[0]  # a pair of one class, which mixing leaves hard
    assert targets.smoothing_of(teacher) == 0
    assert targets.smoothing_of(0.6 * one_hot + 0.4 * one_hot.roll(1, 0)) == 0
    assert targets.smoothing_of(torch.full((20, k), 1 / k)) == 0
    assert targets.smoothing_of(torch.zeros(20, k)) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda t: targets.smooth(t, 5, 0.1),
        lambda t: smoothed_cross_entropy(torch.zeros_like(t), t, 0.1),
    ],
)
def test_double_smoothing_warns_once(call, monkeypatch):
    monkeypatch.setattr(targets, "_watching", True)
    smoothed = targets.smooth(torch.arange(4), 5, 0.2)
    smoothed_cross_entropy(torch.zeros(4, 5), smoothed, 0.0)  # smoothed once, and that is fine
    with pytest.warns(UserWarning, match=r"already smoothed, by 0.2, and smoothing=0.1 .* second"):
        call(smoothed)
    call(smoothed)  # a second warning would be an error here


def test_two_classes_at_smoothing_a_tenth_put_095_on_the_label_and_02_puts_09():
    assert targets.confidence_for_smoothing(0.1, 2) == pytest.approx(0.95)
    assert targets.smoothing_for_confidence(0.9, 2) == pytest.approx(0.2)
    assert targets.smoothing_for_confidence(0.9, 2, "exclude_true") == pytest.approx(0.1)


@examples
@given(smoothing=st.floats(0, 1), k=st.integers(2, 1000), convention=conventions)
def test_confidence_and_smoothing_are_inverse(smoothing, k, convention):
    confidence = targets.confidence_for_smoothing(smoothing, k, convention)
    confidence = max(confidence, 1 / k) if convention == "uniform" else confidence
    back = targets.smoothing_for_confidence(confidence, k, convention)
    assert back == pytest.approx(smoothing, abs=FLOAT64)


@pytest.mark.parametrize("convention", ["uniform", "exclude_true"])
def test_the_confidence_is_what_the_target_has_at_the_label(convention):
    q = targets.smooth(torch.tensor([1]), 3, 0.4, convention=convention)
    confidence = targets.confidence_for_smoothing(0.4, 3, convention)
    assert q[0, 1].item() == pytest.approx(confidence, abs=FLOAT32)


LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: targets.smooth(LABELS, 3, 1.5), "at most 1.*got 1.5"),
        (lambda: targets.smooth(LABELS, 3, float("nan")), "finite number.*got nan"),
        (lambda: targets.smooth(LABELS, 3, float("-inf")), "finite number.*got -inf"),
        (lambda: targets.smooth(LABELS, 3, "0.1"), "finite number"),
        (lambda: targets.smooth(LABELS, 1, 0.1), "at least 2, got 1"),
        (lambda: targets.smooth(LABELS, 3, 0.1, convention="other"), "'uniform' or 'exclude_true'"),
        (lambda: targets.smooth(torch.tensor([0, 3]), 3, 0.1), r"0\.\.2 or .*-100, got 3"),
        (lambda: targets.smooth(torch.tensor([0, -1]), 3, 0.1), r"0\.\.2 or .*-100, got -1"),
        (lambda: targets.smooth(torch.tensor([True]), 3, 0.1), "integer dtype, got torch.bool"),
        (lambda: targets.smooth(torch.tensor(1), 3, 0.1), "single number"),
        (lambda: targets.smooth(torch.rand(2, 4), 3, 0.1), r"\(n, 3, ...\), got \(2, 4\)"),
        (lambda: targets.smooth(LABELS, 3, 0.1, prior=torch.ones(2) / 2), r"\(3,\), got \(2,\)"),
        (lambda: targets.smooth(LABELS, 2, 0.1, prior=torch.ones(2)), "sum to 1, got the sum 2"),
        (lambda: targets.smooth(LABELS, 2, 0.1, prior=torch.tensor([1.5, -0.5])), "minimum -0.5"),
        (
            lambda: targets.smooth(
                LABELS, 2, 0.1, convention="exclude_true", prior=torch.ones(2) / 2
            ),
            "no `prior` with convention 'exclude_true'",
        ),
        (lambda: targets.smooth(LABELS, 2, 0.1, prior=torch.eye(2) * 2), "the sum 2"),
        (lambda: targets.smooth(LABELS, 2, 0.1, prior=torch.eye(3)), r"\(2, 2\), got \(3, 3\)"),
        (lambda: targets.smooth(LABELS, 2, 0.1, prior=torch.tensor(1.0)), r"got \(\)"),
        (lambda: targets.smooth_labels(torch.zeros(2), LABELS, 0.1), r"\(n, K, ...\), got \(2,\)"),
        (lambda: targets.smooth_labels(torch.zeros(3, 2), LABELS), r"\(3,\) or \(3, 2\), got"),
        (lambda: targets.OnlineSmoothing(2, -0.1), r"`smoothing` in \[0, 1\], got -0.1"),
        (lambda: targets.OnlineSmoothing(2, first=2), r"`first` in \[0, 1\], got 2"),
        (lambda: targets.OnlineSmoothing(3).update(torch.eye(2), LABELS), r"\(n, 3, ...\)"),
        (lambda: targets.smoothing_for_confidence(0.1, 3), r"\[0.3333, 1\].*got 0.1"),
        (lambda: targets.smoothing_for_confidence(1.1, 3), "got 1.1"),
        (lambda: targets.confidence_for_smoothing(-0.1, 3), r"\[0, 1\].*got -0.1"),
    ],
)
def test_malformed_input_is_an_error_that_says_how(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("module", ["targets", "losses"])
def test_without_torch_the_message_names_the_extra(module):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from recuse.errors import MissingExtraError\n"
        f"import recuse\ntry:\n    recuse.{module}\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("needs torch: pip install 'recuse[torch]'")
