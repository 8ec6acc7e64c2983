"""The loss function for the Trainer of Transformers, called as the Trainer calls it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recuse import InputError, tune
from recuse.integrations.transformers import compute_loss_func, held_out
from recuse.losses import (
    MarginSmoothing,
    MaxSuppression,
    SmoothedBCEWithLogits,
    SmoothedCrossEntropy,
    smoothed_cross_entropy,
)

K = 5
LOSSES = [SmoothedCrossEntropy(0.2), MaxSuppression(0.2), MarginSmoothing(0.2, margin=0.1)]


def logits_of(*shape):
    return torch.randn(*shape, requires_grad=True)


def labels_of(*shape, ignored=-100):
    labels = torch.randint(K, shape)
    labels.view(-1)[::3] = ignored
    return labels


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("tokens", [(), (7,)])
def test_parts_add_up_to_the_mean_of_the_whole(loss, tokens):
    """Parts with different numbers of labels, which a mean of means weighs wrongly."""
    logits, labels = logits_of(12, *tokens, K), labels_of(12, *tokens)
    f, items = compute_loss_func(loss), (labels != -100).sum()
    whole = loss(logits.movedim(-1, 1), labels)
    torch.testing.assert_close(f({"logits": logits}, labels), whole)
    parts = [f({"logits": z}, y, items) for z, y in zip(logits.split(5), labels.split(5))]
    torch.testing.assert_close(sum(parts), whole)


def test_outputs_are_a_mapping_a_tuple_or_logits():
    logits, labels = logits_of(4, K), labels_of(4)
    f = compute_loss_func(SmoothedCrossEntropy(0.2))
    for outputs in ({"loss": None, "logits": logits}, (logits, None), logits):
        torch.testing.assert_close(f(outputs, labels), smoothed_cross_entropy(logits, labels, 0.2))


def test_shift_compares_each_token_with_the_next_label():
    logits, labels = logits_of(2, 6, K), labels_of(2, 6)
    f = compute_loss_func(SmoothedCrossEntropy(0.2), shift=True)
    expected = smoothed_cross_entropy(logits[:, :-1].reshape(-1, K), labels[:, 1:].reshape(-1), 0.2)
    torch.testing.assert_close(f((logits,), labels), expected)


def test_evaluation_has_no_smoothing_unless_asked_for():
    logits, labels = logits_of(6, K), labels_of(6)
    for loss in LOSSES:
        with torch.no_grad():
            default = compute_loss_func(loss)((logits,), labels)
            asked = compute_loss_func(loss, evaluation=loss)((logits,), labels)
        torch.testing.assert_close(default, F.cross_entropy(logits, labels).detach())
        torch.testing.assert_close(asked, loss(logits, labels).detach())
        assert (loss.smoothing, loss.reduction) == (0.2, "mean")


def test_a_schedule_of_the_smoothing_is_followed():
    loss, logits, labels = MaxSuppression(0.1), logits_of(6, K), labels_of(6)
    f = compute_loss_func(loss)
    loss.smoothing = 0.5
    torch.testing.assert_close(f((logits,), labels), MaxSuppression(0.5)(logits, labels))


def test_trap_an_ignored_label_of_255_does_not_break_it():
    """LabelSmoother of Transformers clamps negative labels only, so 255 is out of range."""
    logits, labels = logits_of(2, K, 4, 4), labels_of(2, 4, 4, ignored=255)
    f = compute_loss_func(SmoothedCrossEntropy(0.2, ignore_index=255), axis=1)
    expected = smoothed_cross_entropy(logits, labels, 0.2, ignore_index=255)
    torch.testing.assert_close(f({"logits": logits}, labels), expected)
    helpers = pytest.importorskip("transformers.trainer_pt_utils", reason="make test-integrations")
    theirs = helpers.LabelSmoother(0.2, ignore_index=255)
    with pytest.raises(RuntimeError, match="out of bounds"):
        theirs({"logits": logits.movedim(1, -1)}, labels)


def test_logits_of_segmentation_are_resized_to_the_labels():
    logits, labels = logits_of(2, K, 2, 2), labels_of(2, 8, 8)
    f = compute_loss_func(SmoothedCrossEntropy(0.2), axis=1)
    larger = F.interpolate(logits, (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(f((logits,), labels), smoothed_cross_entropy(larger, labels, 0.2))


@pytest.mark.parametrize("shape", [(4, K), (4, 7, K)])
def test_soft_labels_are_counted_as_examples_not_as_entries(shape):
    logits, soft = logits_of(*shape), torch.rand(shape).softmax(-1)
    f = compute_loss_func(SmoothedCrossEntropy(0.2))
    items = soft.ne(-100).sum()  # as the Trainer counts
    expected = smoothed_cross_entropy(logits.movedim(-1, 1), soft.movedim(-1, 1), 0.2)
    torch.testing.assert_close(f((logits,), soft, items), expected)


def test_several_labels_for_each_example():
    logits, labels = logits_of(4, 3), torch.randint(2, (4, 3)).float()
    loss = SmoothedBCEWithLogits((0.05, 0.001))
    f = compute_loss_func(loss)
    torch.testing.assert_close(f((logits,), labels, labels.numel()), loss(logits, labels))
    with torch.no_grad():
        plain = F.binary_cross_entropy_with_logits(logits, labels)
        torch.testing.assert_close(f((logits,), labels), plain)


def test_errors_are_one_line():
    f = compute_loss_func(SmoothedCrossEntropy(0.1), shift=True)
    with pytest.raises(InputError, match="with `labels`, got none"):
        f((logits_of(2, K),), None)
    with pytest.raises(InputError, match="`shift`, got soft"):
        f((logits_of(2, 3, K),), torch.rand(2, 3, K))
    with pytest.raises(InputError, match="got CrossEntropyLoss without `smoothing`"):
        compute_loss_func(torch.nn.CrossEntropyLoss())
    with pytest.raises(InputError, match="got function without `reduction`"):
        compute_loss_func(SmoothedCrossEntropy(0.1), evaluation=lambda z, y: z)


def test_predictions_of_a_trainer_are_held_out_data():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 3, 20)
    output = SimpleNamespace(predictions=z, label_ids=labels, metrics={})
    for given in (
        output,
        (z, labels),
        (z, labels, {}),
        ((z, z[:, :2]), labels),
        ({"logits": z}, labels),
    ):
        found = held_out(given, ids=np.arange(20), name="day")
        np.testing.assert_array_equal(found.logits, z)
        assert (found.labels.tolist(), found.name, found.ids[3]) == (labels.tolist(), "day", 3)
    assert held_out((z, None)).labels is None
    names = {i: f"intent {i}" for i in range(z.shape[1])}
    assert held_out((z, None), classes=names).class_names == tuple(names.values())
    with pytest.raises(InputError, match=r"got a SimpleNamespace: give .*held_out\(output\)$"):
        tune(output)
    for given, message in (
        (z, "expected what trainer.predict"),
        (({"scores": z}, labels), "expected outputs with `logits`, got scores"),
        ((z, (labels, labels)), "expected `label_ids` of one array, got 2"),
        ((z, labels[:5]), r"labels` of shape \(20,\) for logits of shape \(20, 3\), got \(5,\)"),
    ):
        with pytest.raises(InputError, match=message):
            held_out(given)


def test_tokens_of_a_trainer_are_predictions_and_their_sequences_groups():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (8, 5))
    z = rng.normal(size=(8, 5, 3)).astype(np.float32)
    labels[:, 3:] = -100
    flat = held_out((z, labels)).predictions()
    np.testing.assert_array_equal(flat.logits, z[:, :3].reshape(-1, 3))
    np.testing.assert_array_equal(flat.labels, labels[:, :3].ravel())
    assert np.bincount(np.unique(flat.groups, return_inverse=True)[1]).tolist() == [3] * 8
    with pytest.raises(InputError, match=r"labels` in 0..2, got -100"):
        held_out((z, labels), ignore_index=None)
