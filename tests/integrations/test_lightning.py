"""The Lightning callbacks, in the real Trainer."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from recuse import InputError, MissingExtraError
from recuse.losses import MaxSuppression, SmoothedCrossEntropy, linear_schedule
from recuse.losses import smoothed_cross_entropy as smoothed
from recuse.losses.targets import OnlineSmoothing, smooth

lightning = pytest.importorskip("lightning.pytorch", reason="make test-integrations has it")
callbacks = pytest.importorskip("recuse.integrations.lightning")

K, D, N = 3, 4, 12
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % K


class Net(lightning.LightningModule):
    """Notes what its steps see: (stage, target, loss, logits)."""

    def __init__(self, criterion=None):
        super().__init__()
        torch.manual_seed(1)
        self.net = torch.nn.Linear(D, K)
        self.criterion = criterion or torch.nn.CrossEntropyLoss()
        self.seen = []

    def loss(self, logits, target):
        return self.criterion(logits, target)

    def step(self, stage, batch):
        logits = self.net(batch[0])
        loss = self.loss(logits, batch[1])
        self.seen.append((stage, batch[1].clone(), loss.detach(), logits.detach()))
        return loss

    def training_step(self, batch, batch_idx):
        return self.step("train", batch)

    def validation_step(self, batch, batch_idx):
        self.step("validation", batch)

    def test_step(self, batch, batch_idx):
        self.step("test", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class DirectNet(Net):
    """Calls the function itself."""

    def loss(self, logits, target):
        return F.cross_entropy(logits, target)


def loader(targets=Y, collate=None):
    return DataLoader(list(zip(X, targets)), batch_size=4, collate_fn=collate)


def trainer(folder, callback, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "max_epochs": 2}
    return lightning.Trainer(default_root_dir=folder, callbacks=callback, **(quiet | options))


def fit(folder, module, callback, train=None, **options):
    runner = trainer(folder, callback, **options)
    runner.fit(module, loader() if train is None else train, loader())
    runner.test(module, loader(), verbose=False)
    return runner


def check(module, loss_in_training):
    """Training has this loss, the rest cross entropy; returns the training batches."""
    train = [seen for seen in module.seen if seen[0] == "train"]
    rest = [seen for seen in module.seen if seen[0] != "train"]
    assert train
    assert {stage for stage, *_ in rest} == {"validation", "test"}
    for _, target, loss, logits in train:
        torch.testing.assert_close(loss, loss_in_training(logits, target))
    for _, target, loss, logits in rest:
        torch.testing.assert_close(loss, F.cross_entropy(logits, target))
    return train


@pytest.mark.parametrize(
    "loss", [SmoothedCrossEntropy(0.3, weight=torch.tensor([1.0, 2, 3])), MaxSuppression(0.3)]
)
def test_training_has_the_loss_and_validation_and_test_their_own(tmp_path, loss):
    module = Net()
    own, keys = module.criterion, list(module.state_dict())
    fit(tmp_path, module, callbacks.TrainingLoss(loss), val_check_interval=1)
    train = check(module, loss)
    assert not any(target.is_floating_point() for _, target, *_ in train)
    assert module.criterion is own
    assert list(module.state_dict()) == keys
    assert "criterion" not in vars(module)


def test_the_attribute_may_be_a_function_or_a_method(tmp_path):
    module = Net(F.cross_entropy)
    fit(tmp_path, module, callbacks.TrainingLoss(SmoothedCrossEntropy(0.3)))
    check(module, SmoothedCrossEntropy(0.3))
    assert module.criterion is F.cross_entropy
    module = DirectNet()
    fit(tmp_path, module, callbacks.TrainingLoss(SmoothedCrossEntropy(0.3), "loss"))
    check(module, SmoothedCrossEntropy(0.3))


def test_mixed_targets_pass_through(tmp_path):
    mixed = torch.lerp(F.one_hot(Y, K).float(), F.one_hot(Y.flip(0), K).float(), 0.3)
    module = Net()
    fit(tmp_path, module, callbacks.TrainingLoss(SmoothedCrossEntropy(0.3)), loader(mixed))
    for _, target, *_ in check(module, SmoothedCrossEntropy(0.3)):
        assert target.shape == (4, K)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_own_loss_is_back_after_an_exception(tmp_path, error):
    module = Net()
    own = module.criterion

    def fail(logits, target):
        raise error("stop")

    with pytest.raises((error, SystemExit)):
        fit(tmp_path, module, callbacks.TrainingLoss(fail))
    assert module.criterion is own


def test_the_own_loss_is_back_after_an_epoch_that_the_module_has_ended(tmp_path):
    class Ends(Net):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx else None

    module = Ends()
    fit(tmp_path, module, callbacks.TrainingLoss(SmoothedCrossEntropy(0.3)))
    check(module, SmoothedCrossEntropy(0.3))


def test_a_missing_attribute_is_one_line_that_names_the_candidates(tmp_path):
    module = Net()
    module.function = F.cross_entropy
    with pytest.raises(InputError, match=r"Net in `ce`.*`criterion`, `function`$"):
        fit(tmp_path, module, callbacks.TrainingLoss(SmoothedCrossEntropy(0.3), "ce"))
    assert not module.seen


def test_a_property_cannot_be_hidden_and_is_refused(tmp_path):
    class WithProperty(Net):
        @property
        def ce(self):
            return F.cross_entropy

    with pytest.raises(InputError, match="in `ce`, got none"):
        fit(tmp_path, WithProperty(), callbacks.TrainingLoss(SmoothedCrossEntropy(0.3), "ce"))


def test_a_schedule_sets_the_smoothing_of_each_epoch(tmp_path):
    module = Net()
    callback = callbacks.TrainingLoss(MaxSuppression(), schedule=linear_schedule)
    fit(tmp_path, module, callback, max_epochs=3)
    train = [seen for seen in module.seen if seen[0] == "train"]
    for i, (_, target, loss, logits) in enumerate(train):
        now = MaxSuppression(linear_schedule(i // 3, 3))
        torch.testing.assert_close(loss, now(logits, target))


def test_a_schedule_needs_a_last_epoch(tmp_path):
    callback = callbacks.TrainingLoss(MaxSuppression(), schedule=linear_schedule)
    with pytest.raises(InputError, match="max_epochs"):
        fit(tmp_path, Net(), callback, max_epochs=-1, max_steps=2)


@pytest.mark.parametrize("as_dict", [False, True])
def test_targets_are_soft_in_training_and_labels_elsewhere(tmp_path, as_dict):
    after = []

    class Looks(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            after.append(batch[1])

    def collate(samples):
        x, y = zip(*samples)
        batch = [torch.stack(x), torch.stack(y)]
        return dict(enumerate(batch)) if as_dict else batch

    module = DirectNet()
    smoother = callbacks.SmoothTargets(0.3, K)
    fit(tmp_path, module, [smoother, Looks()], loader(collate=collate))
    train = check(module, F.cross_entropy)
    labels = Y.split(4)
    for i, (_, target, *_) in enumerate(train):
        torch.testing.assert_close(target, smooth(labels[i % 3], K, 0.3))
    assert all(torch.equal(target, labels[i % 3]) for i, target in enumerate(after))


@pytest.mark.parametrize("ends", ["error", "epoch"])
def test_the_labels_are_back_after_an_error_and_an_epoch_that_the_module_has_ended(tmp_path, ends):
    batches = []

    class Failing(DirectNet):
        def on_train_batch_start(self, batch, batch_idx):
            batches.append(batch)
            return -1 if ends == "epoch" else None

        def training_step(self, batch, batch_idx):
            assert batch[1].is_floating_point()
            raise RuntimeError("out of memory")

    runner = trainer(tmp_path, callbacks.SmoothTargets(0.2, K), max_epochs=1)
    if ends == "error":
        with pytest.raises(RuntimeError, match="out of memory"):
            runner.fit(Failing(), loader(), loader())
    else:
        runner.fit(Failing(), loader(), loader())
    assert [batch[1].tolist() for batch in batches] == [Y[:4].tolist()]


def test_mixed_targets_are_softened_too(tmp_path):
    mixed = torch.lerp(F.one_hot(Y, K).float(), F.one_hot(Y.flip(0), K).float(), 0.3)
    module = DirectNet()
    fit(tmp_path, module, callbacks.SmoothTargets(0.3, K), loader(mixed))
    torch.testing.assert_close(module.seen[-1][1], Y.split(4)[-1])
    train = check(module, F.cross_entropy)
    torch.testing.assert_close(train[0][1], smooth(mixed[:4], K, 0.3))


def test_a_batch_that_is_a_tuple_is_refused(tmp_path):
    def collate(samples):
        x, y = zip(*samples)
        return torch.stack(x), torch.stack(y)

    with pytest.raises(InputError, match="a list or a dict, got tuple"):
        fit(tmp_path, DirectNet(), callbacks.SmoothTargets(0.3, K), loader(collate=collate))


def expected_rows(module, epochs):
    """The soft labels after so many epochs, from what the module has computed in them."""
    rows = smooth(torch.arange(K), K, 0.1)
    train = [seen for seen in module.seen if seen[0] == "train"]
    for epoch in range(epochs):
        batches = train[3 * epoch : 3 * epoch + 3]
        logits, y = torch.cat([b[3] for b in batches]), torch.cat([b[1] for b in batches])
        for c in range(K):
            right = logits[(y == c) & (logits.argmax(1) == c)]
            if len(right):
                rows[c] = right.double().softmax(1).mean(0).float()
    return rows


def test_online_smoothing_learns_from_each_epoch_for_the_next(tmp_path):
    module, online = Net(), OnlineSmoothing(K)
    fit(tmp_path, module, callbacks.OnlineSmoothing(online), max_epochs=3)
    torch.testing.assert_close(online.prior, expected_rows(module, 2))
    _, target, loss, logits = [seen for seen in module.seen if seen[0] == "train"][-1]
    torch.testing.assert_close(loss, smoothed(logits, target, 0.5, prior=online.prior))


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("after_epoch", [True, False], ids=["after the epoch", "validation"])
def test_online_smoothing_goes_on_from_the_checkpoint_of_an_epoch(tmp_path, after_epoch):
    whole = OnlineSmoothing(K)
    fit(tmp_path, Net(), callbacks.OnlineSmoothing(whole), max_epochs=3)
    online = OnlineSmoothing(K)
    for epochs, soft_labels in ((2, OnlineSmoothing(K)), (3, online)):
        saves = lightning.callbacks.ModelCheckpoint(
            tmp_path, save_last=True, save_on_train_epoch_end=after_epoch
        )
        both = [callbacks.OnlineSmoothing(soft_labels), saves]
        runner = trainer(tmp_path, both, max_epochs=epochs, enable_checkpointing=True)
        last = tmp_path / "last.ckpt" if epochs == 3 else None
        runner.fit(Net(), loader(), loader(), ckpt_path=last, weights_only=last and True)
    torch.testing.assert_close(online.state_dict(), whole.state_dict())


def test_online_smoothing_goes_on_within_an_epoch(tmp_path):
    """With the counts of its first batches; which batches follow is the loader's matter."""
    first = callbacks.OnlineSmoothing(OnlineSmoothing(K))
    runner = trainer(tmp_path, first, max_epochs=3, max_steps=5)
    runner.fit(Net(), loader(), loader())
    runner.save_checkpoint(tmp_path / "within.ckpt")
    resumed = {}

    class Looks(lightning.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            resumed.setdefault("state", copy.deepcopy(second.state_dict()))

    second = callbacks.OnlineSmoothing(OnlineSmoothing(K))
    runner = trainer(tmp_path, [Looks(), second], max_epochs=3)
    runner.fit(Net(), loader(), loader(), ckpt_path=tmp_path / "within.ckpt", weights_only=True)
    assert first.epoch == 1
    assert first.online.count.sum() > 0
    torch.testing.assert_close(resumed["state"], first.state_dict())


def test_online_smoothing_adds_up_the_counts_of_all_processes(tmp_path, monkeypatch):
    """The other process has seen one example of each class, with certainty."""
    others = {(K, K): torch.eye(K, dtype=torch.float64), (K,): torch.ones(K, dtype=torch.int64)}

    def reduce(tensor, reduce_op):
        return tensor + others.get(tuple(tensor.shape), 0) if reduce_op == "sum" else tensor

    module, online = Net(), OnlineSmoothing(K)
    runner = trainer(tmp_path, callbacks.OnlineSmoothing(online))
    monkeypatch.setattr(runner.strategy, "reduce", reduce)
    runner.fit(module, loader(), loader())
    logits, y = (torch.cat([seen[i] for seen in module.seen if seen[0] == "train"][:3])
                 for i in (3, 1))  # fmt: skip
    for c in range(K):
        right = logits[(y == c) & (logits.argmax(1) == c)].softmax(1)
        expected = (right.sum(0) + torch.eye(K)[c]) / (len(right) + 1)
        torch.testing.assert_close(online.prior[c], expected)


def test_online_smoothing_does_not_count_mixed_targets(tmp_path):
    online = OnlineSmoothing(K)
    mixed = loader(smooth(Y, K, 0.5))
    fit(tmp_path, Net(), callbacks.OnlineSmoothing(online), mixed)
    torch.testing.assert_close(online.prior, smooth(torch.arange(K), K, 0.1))
    assert online.count.sum() == 0


def test_the_old_name_of_the_package_is_served_too(tmp_path):
    program = f"""
import sys, torch, pytorch_lightning as pl
import recuse.integrations.lightning as callbacks
from recuse.losses import SmoothedCrossEntropy
assert issubclass(callbacks.TrainingLoss, pl.Callback)
assert "lightning" not in sys.modules
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.criterion = torch.nn.Linear(2, 3), None or torch.nn.CrossEntropyLoss()
    def training_step(self, batch, i):
        loss = self.criterion(self.net(batch[0]), batch[1])
        print(type(self.criterion).__name__)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
trainer = pl.Trainer(default_root_dir={str(tmp_path)!r}, logger=False, max_epochs=1,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    callbacks=callbacks.TrainingLoss(SmoothedCrossEntropy(0.1)))
data = torch.utils.data.TensorDataset(torch.randn(4, 2), torch.arange(4) % 3)
trainer.fit(Net(), torch.utils.data.DataLoader(data, batch_size=4))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "SmoothedCrossEntropy", run.stderr


def test_without_the_package_the_error_is_one_line(monkeypatch):
    from recuse._internal.check import base_class

    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    base = base_class("lightning.pytorch", "Callback", "lightning")
    missing = type("TrainingLoss", (base,), {})
    message = r"TrainingLoss needs lightning: .*recuse\[lightning\]"
    with pytest.raises(MissingExtraError, match=message):
        missing()
