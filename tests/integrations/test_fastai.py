"""The fastai loss and callbacks, in a real Learner."""

import sys

import pytest
import torch
import torch.nn.functional as F

from recuse import InputError, MissingExtraError
from recuse.losses import MaxSuppression, SmoothedCrossEntropy
from recuse.losses import smoothed_cross_entropy as smoothed
from recuse.losses.targets import smooth

fastai = pytest.importorskip("fastai.basics", reason="make test-integrations has it")
mixing = pytest.importorskip("fastai.callback.mixup", reason="fastai")
ours = pytest.importorskip("recuse.integrations.fastai")

K, N = 4, 12
X = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % K


class Looks(fastai.Callback):
    """Notes what the loss has been given, and what it has returned."""

    order = 100

    def before_fit(self):
        self.seen = []

    def after_loss(self):
        mixer = getattr(self.learn, "mix_up", None)
        mixed = mixer if self.learn.training else None
        pair = (mixed.yb1[0].clone(), mixed.lam) if mixed else None
        logits, loss = self.learn.pred.detach(), self.learn.loss.detach()
        self.seen.append((self.learn.training, logits, self.learn.y.clone(), loss, pair))


def learner(loss_func, *cbs, y=Y, x=X, model=None):
    torch.manual_seed(0)
    data = list(zip(x, y))
    loaders = fastai.DataLoaders(
        fastai.DataLoader(data, bs=6), fastai.DataLoader(data, bs=6), device="cpu"
    )
    model = model or torch.nn.Linear(3, K)
    return fastai.Learner(loaders, model, loss_func=loss_func, cbs=[*cbs, Looks()], lr=0.1)


def fit(learn):
    with learn.no_logging():
        learn.fit(2)
    train = [seen[1:] for seen in learn.looks.seen if seen[0]]
    valid = [seen[1:] for seen in learn.looks.seen if not seen[0]]
    assert train
    assert valid
    return train, valid


@pytest.mark.parametrize("loss", [SmoothedCrossEntropy(0.2), MaxSuppression(0.2)])
def test_the_loss_is_that_of_recuse_in_training_and_validation(loss):
    train, valid = fit(learner(ours.LossFlat(loss)))
    for logits, y, value, _ in train + valid:
        torch.testing.assert_close(value, loss(logits, y))


def test_get_preds_has_probabilities_classes_and_the_loss_of_each_example():
    learn = learner(ours.LossFlat(SmoothedCrossEntropy(0.2)))
    fit(learn)
    probs, labels, classes, losses = learn.get_preds(with_decoded=True, with_loss=True)
    logits = learn.model(X).detach()
    torch.testing.assert_close(probs, logits.softmax(1))
    torch.testing.assert_close(classes, logits.argmax(1))
    torch.testing.assert_close(labels, Y)
    torch.testing.assert_close(losses, smoothed(logits, Y, 0.2, reduction="none"))
    assert learn.loss_func.reduction == "mean"


def test_an_exported_learner_has_its_loss(tmp_path):
    learn = learner(ours.LossFlat(SmoothedCrossEntropy(0.2), axis=1))
    torch.save(learn.loss_func, tmp_path / "loss")
    loss = torch.load(tmp_path / "loss", weights_only=False)
    assert (loss.axis, loss.loss.smoothing) == (1, 0.2)


SHAPES = {
    "table": ((6, K), (6, 1), -1),
    "text": ((6, 7, K), (6, 7), -1),
    "segmentation": ((6, K, 5, 7), (6, 5, 7), 1),
    "masks with a channel": ((6, K, 5, 7), (6, 1, 5, 7), 1),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_axis_and_flatten_are_those_of_fastai(shapes):
    logits_shape, labels_shape, axis = shapes
    logits, labels = torch.randn(logits_shape), torch.randint(K, labels_shape)
    logits = fastai.TensorImage(logits)
    labels = fastai.TensorMask(labels.to(torch.uint8))
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2), axis=axis)
    theirs = fastai.CrossEntropyLossFlat(axis=axis, label_smoothing=0.2)
    torch.testing.assert_close(loss(logits, labels), torch.Tensor(theirs(logits, labels.long())))
    torch.testing.assert_close(loss.activation(logits), theirs.activation(logits))
    torch.testing.assert_close(loss.decodes(logits), theirs.decodes(logits))
    loss.reduction = "none"
    assert loss(logits, labels).shape == (labels.numel(),)


def test_without_flatten_losses_keep_the_shape_of_the_labels():
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2, reduction="none"), axis=1, flatten=False)
    assert loss(torch.randn(2, K, 5, 7), torch.randint(K, (2, 5, 7))).shape == (2, 5, 7)


def test_soft_targets_have_the_layout_of_the_logits():
    logits, soft = torch.randn(2, 7, K), torch.rand(2, 7, K).softmax(-1)
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2))
    expected = smoothed(logits.reshape(-1, K), soft.reshape(-1, K), 0.2)
    torch.testing.assert_close(loss(logits, soft), expected)


def check_mixup(train, loss):
    """The value is the mixture of the losses of both labels."""
    for logits, y, value, (other, lam) in train:
        assert not y.is_floating_point()
        expected = torch.lerp(loss(logits, other), loss(logits, y), lam).mean()
        torch.testing.assert_close(value, expected)


def check_plain(valid):
    for logits, y, value, _ in valid:
        torch.testing.assert_close(value, F.cross_entropy(logits, y))


def loss_of_each(logits, y):
    return smoothed(logits, y, 0.2, reduction="none")


def test_mixup_goes_with_the_loss():
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2))
    learn = learner(loss, mixing.MixUp())
    check_mixup(fit(learn)[0], loss_of_each)
    assert learn.loss_func is loss


def test_cutmix_goes_with_the_loss():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, K))
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2))
    learn = learner(loss, mixing.CutMix(), x=torch.randn(N, 3, 4, 4), model=model)
    train, _ = fit(learn)
    mixer = learn.cut_mix
    logits, y, value, _ = train[-1]
    pair = [loss_of_each(logits, labels) for labels in (mixer.yb1[0], y)]
    torch.testing.assert_close(value, torch.lerp(*pair, mixer.lam).mean())


def test_mixed_targets_of_the_data_pass_through():
    mixed = torch.lerp(F.one_hot(Y, K).float(), F.one_hot(Y.flip(0), K).float(), 0.3)
    for cb in (
        ours.TrainingLoss(ours.LossFlat(SmoothedCrossEntropy(0.2))),
        ours.SmoothTargets(0.2),
    ):
        train, valid = fit(learner(torch.nn.CrossEntropyLoss(), cb, y=mixed))
        for logits, y, value, _ in train:
            torch.testing.assert_close(value, smoothed(logits, y, 0.2))
        check_plain(valid)


def replaced(mixup):
    loss = ours.LossFlat(SmoothedCrossEntropy(0.2))
    return learner(fastai.CrossEntropyLossFlat(), ours.TrainingLoss(loss), *mixup)


def softened(mixup):
    loss = ours.LossFlat(SmoothedCrossEntropy(0.0))
    return learner(loss, ours.SmoothTargets(0.2), *mixup)


@pytest.mark.parametrize("make", [replaced, softened])
def test_callbacks_change_training_and_leave_validation_and_labels(make):
    learn = make([])
    own = learn.loss_func
    train, valid = fit(learn)
    for logits, y, value, _ in train:
        assert not y.is_floating_point()
        torch.testing.assert_close(torch.Tensor(value), smoothed(logits, y, 0.2))
    check_plain([(z, y, torch.Tensor(value), None) for z, y, value, _ in valid])
    assert learn.loss_func is own


@pytest.mark.parametrize("make", [replaced, softened])
@pytest.mark.parametrize("first", [True, False], ids=["MixUp last", "MixUp first"])
def test_callbacks_go_with_mixup(make, first):
    learn = make([mixing.MixUp()])
    if not first:
        cb = learn.cbs.filter(lambda cb: isinstance(cb, ours.TrainingLoss | ours.SmoothTargets))[0]
        learn.remove_cb(cb)
        learn.add_cb(cb)
    own = learn.loss_func
    train, valid = fit(learn)
    check_mixup(train, loss_of_each)
    check_plain([(z, y, torch.Tensor(value), None) for z, y, value, _ in valid])
    assert learn.loss_func is own


def test_an_interruption_in_the_model_leaves_the_loss_as_it_was():
    class Stops(torch.nn.Linear):
        def forward(self, x):
            if self.training:
                raise KeyboardInterrupt
            return super().forward(x)

    loss = ours.LossFlat(SmoothedCrossEntropy(0.2))
    learn = learner(fastai.CrossEntropyLossFlat(), ours.TrainingLoss(loss), model=Stops(3, K))
    own = learn.loss_func
    with pytest.raises(KeyboardInterrupt):
        fit(learn)
    assert learn.loss_func is own


@pytest.mark.parametrize("axis", [1, -1])
def test_targets_of_pixels_and_tokens_are_soft_at_the_axis(axis):
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, K)

        def forward(self, x):
            return self.linear(x).movedim(-1, axis)

    given = []

    class Loss(torch.nn.CrossEntropyLoss):
        def forward(self, logits, target):
            given.append(target)
            return logits.sum() * 0

    y = torch.randint(K, (N, 5))
    learn = learner(Loss(), ours.SmoothTargets(0.2, axis=axis), x=torch.randn(N, 5, 3), y=y,
                    model=Last())  # fmt: skip
    fit(learn)
    torch.testing.assert_close(given[0], smooth(y[:6], K, 0.2).movedim(1, axis))


def test_a_loss_that_flattens_soft_targets_is_refused():
    learn = learner(fastai.CrossEntropyLossFlat(), ours.SmoothTargets(0.2))
    with pytest.raises(InputError, match="soft targets, got FlattenedLoss of CrossEntropyLoss"):
        fit(learn)


def test_the_flattening_can_be_switched_off():
    loss = fastai.CrossEntropyLossFlat(flatten=False)
    for logits, y, value, _ in fit(learner(loss, ours.SmoothTargets(0.2)))[0]:
        torch.testing.assert_close(torch.Tensor(value), smoothed(logits, y, 0.2))


class Cancels(fastai.Callback):
    """Ends each training batch, or the fit, between the predictions and the loss."""

    order, run_valid = 50, False

    def __init__(self, error):
        self.error = error

    def after_pred(self):
        raise self.error


@pytest.mark.parametrize("callback", ["loss", "targets"])
@pytest.mark.parametrize("error", [fastai.CancelBatchException(), RuntimeError("out of memory")])
def test_loss_and_labels_are_back_after_a_batch_that_was_cancelled(callback, error):
    own = fastai.CrossEntropyLossFlat(flatten=False)
    loss = ours.LossFlat(MaxSuppression(0.2))
    change = ours.TrainingLoss(loss) if callback == "loss" else ours.SmoothTargets(0.2)
    learn = learner(own, change, Cancels(error))
    with learn.no_logging():
        if isinstance(error, RuntimeError):
            with pytest.raises(RuntimeError, match="out of memory"):
                learn.fit(1)
        else:
            learn.fit(1)
        learn.validate()
    assert learn.loss_func is own
    assert not learn.y.is_floating_point()
    for training, logits, y, value, _ in learn.looks.seen:
        assert not training
        torch.testing.assert_close(torch.Tensor(value), F.cross_entropy(logits, y))


def test_without_the_package_the_error_is_one_line(monkeypatch):
    from recuse._internal.check import base_class

    monkeypatch.setitem(sys.modules, "fastai.callback.core", None)
    base = base_class("fastai.callback.core", "Callback", "fastai")
    missing = type("SmoothTargets", (base,), {})
    with pytest.raises(MissingExtraError, match=r"SmoothTargets needs fastai: .*recuse\[fastai\]"):
        missing()
