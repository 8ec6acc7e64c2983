"""The Composer algorithm, with stand-ins for Composer's events, state and loss.

Composer pins an older PyTorch. The stand-ins keep what the algorithm relies on: an event is
a string, the batch is replaced by `batch_set_item` (a tuple cannot be changed in place), and
`soft_cross_entropy` divides by the mass of the targets.
"""

from enum import StrEnum

import pytest
import torch
import torch.nn.functional as F

from recuse import InputError
from recuse.integrations.composer import LabelSmoothing
from recuse.losses import smoothed_cross_entropy
from recuse.losses.targets import smooth


class Event(StrEnum):
    BEFORE_FORWARD = "before_forward"
    BEFORE_LOSS = "before_loss"
    AFTER_LOSS = "after_loss"


class State:
    def __init__(self, outputs, batch):
        self.outputs, self.batch = outputs, batch

    def batch_get_item(self, key):
        return key[0](self.batch) if isinstance(key, tuple) else self.batch[key]

    def batch_set_item(self, key, value):
        if isinstance(key, tuple):
            self.batch = key[1](self.batch, value)
        elif isinstance(self.batch, tuple):
            self.batch = (*self.batch[:key], value, *self.batch[key + 1 :])
        else:
            self.batch[key] = value


def soft_cross_entropy(logits, target):
    return -(target * F.log_softmax(logits, 1)).sum() / target.sum()


def run(algorithm, state, event):
    if algorithm.match(event, state):
        algorithm.apply(event, state, logger=None)


def loss_of(algorithm, state):
    for event in (Event.BEFORE_FORWARD, Event.BEFORE_LOSS):
        run(algorithm, state, event)
    loss = soft_cross_entropy(state.outputs, state.batch_get_item(algorithm.target_key))
    run(algorithm, state, Event.AFTER_LOSS)
    return loss


LOGITS = torch.tensor([[2.0, 0, 1], [0, 1, 3], [1, 1, 0]])
LABELS = torch.tensor([0, 2, 1])
PAIR = (lambda batch: batch["y"], lambda batch, value: {**batch, "y": value})


@pytest.mark.parametrize(
    ("batch", "key"),
    [((None, LABELS), 1), ([None, LABELS], 1), ({"y": LABELS}, "y"), ({"y": LABELS}, PAIR)],
    ids=["tuple", "list", "dict", "functions"],
)
def test_the_loss_is_smoothed_and_the_labels_are_the_same_object_afterwards(batch, key):
    algorithm, state = LabelSmoothing(0.2, key), State(LOGITS, batch)
    loss = loss_of(algorithm, state)
    torch.testing.assert_close(loss, smoothed_cross_entropy(LOGITS, LABELS, 0.2))
    assert state.batch_get_item(key) is LABELS


def test_it_runs_at_the_loss_only():
    matches = [event for event in Event if LabelSmoothing().match(event, None)]
    assert matches == [Event.BEFORE_LOSS, Event.AFTER_LOSS]


def test_trap_ignored_labels_stay_ignored_where_composer_makes_them_uniform():
    labels = torch.tensor([0, 2, -100])
    loss = loss_of(LabelSmoothing(0.2), State(LOGITS, [None, labels]))
    torch.testing.assert_close(loss, smoothed_cross_entropy(LOGITS, labels, 0.2))
    of_composer = F.one_hot(labels.clamp(min=0), 3) * (labels >= 0)[:, None] * 0.8 + 0.2 / 3
    assert not torch.isclose(loss, soft_cross_entropy(LOGITS, of_composer))


def test_pixels():
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    loss = loss_of(LabelSmoothing(0.1), State(logits, [None, labels]))
    torch.testing.assert_close(loss, smoothed_cross_entropy(logits, labels, 0.1))


def test_mixed_targets_are_smoothed_too():
    mixed = torch.lerp(torch.eye(3), torch.eye(3).flip(0), 0.3)
    loss = loss_of(LabelSmoothing(0.1), State(LOGITS, [None, mixed]))
    torch.testing.assert_close(loss, soft_cross_entropy(LOGITS, smooth(mixed, 3, 0.1)))


def test_convention_and_prior_are_those_of_smooth():
    prior = torch.tensor([0.5, 0.3, 0.2])
    for options in ({"convention": "exclude_true"}, {"prior": prior}):
        loss = loss_of(LabelSmoothing(0.1, **options), State(LOGITS, [None, LABELS]))
        torch.testing.assert_close(loss, smoothed_cross_entropy(LOGITS, LABELS, 0.1, **options))


def test_a_loss_computed_in_forward_is_refused():
    state = State({"loss": torch.tensor(1.0)}, {"labels": LABELS})
    with pytest.raises(InputError, match=r"one tensor, got dict; .*HuggingFaceModel"):
        run(LabelSmoothing(0.1, "labels"), state, Event.BEFORE_LOSS)
    assert state.batch["labels"] is LABELS


def test_options_are_checked_at_once():
    with pytest.raises(InputError, match="at most 1"):
        LabelSmoothing(1.5)
    with pytest.raises(InputError, match="convention"):
        LabelSmoothing(convention="unifrom")
