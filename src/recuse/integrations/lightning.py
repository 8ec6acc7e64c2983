"""Lightning: callbacks that change the loss, or its targets, in training only.

Validation, test and all metrics keep the labels and the module's own loss.

| callback | for a module that |
|---|---|
| `TrainingLoss` | keeps its loss in an attribute, `self.criterion(logits, labels)` |
| `OnlineSmoothing` | does so, and should learn the soft label of each class |
| `SmoothTargets` | calls a function of its own, `F.cross_entropy(logits, batch[1])` |

They work with `lightning` and with `pytorch_lightning`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, MutableMapping, MutableSequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import recuse.losses.targets
from recuse._internal.check import base_class, extra
from recuse.errors import InputError
from recuse.losses import smoothed_cross_entropy
from recuse.losses.targets import Convention, as_uniform

torch = extra("torch", "torch", "recuse.integrations.lightning")

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("lightning.pytorch", "pytorch_lightning")  # two names of one package


def _package() -> str:
    """Return the name that the program already uses, or else one that is installed."""
    for name in NAMES:
        if name in sys.modules:
            return name
    return next((name for name in NAMES if find_spec(name.split(".")[0])), NAMES[0])


Callback = base_class(_package(), "Callback", "lightning")


class _PutBack(Callback):
    """Undo at the end of a training batch what was changed at its start, however it ends."""

    _undo: Callable[[], Any] | None = None

    def on_train_batch_end(self, *args: Any) -> None:
        """Undo the change before validation and the callbacks that follow."""
        self._put_back()

    def on_train_epoch_end(self, *args: Any) -> None:
        """Undo it also where the module's `on_train_batch_start` has ended the epoch."""
        self._put_back()

    def on_exception(self, *args: Any) -> None:
        """Undo it also after an error or an interruption."""
        self._put_back()

    def _put_back(self) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None


class TrainingLoss(_PutBack):
    """Use another loss in `training_step`, and the module's own everywhere else.

    The loss replaces the attribute during each training batch. It never becomes a part of the
    module, so that checkpoints are the same with and without it. The loss that `training_step`
    logs is this one; metrics in it see the labels.

    Args:
        loss: Loss with the arguments of the module's own, such as one of `recuse.losses`.
        attribute: Name of the attribute in which the module keeps its loss.
        schedule: f(epoch, epochs), the `smoothing` of the loss in each epoch, for instance
            `recuse.losses.linear_schedule`.

    Raises:
        InputError: At the start of `fit`: no loss in this attribute, or a schedule without
            `max_epochs`.
        MissingExtraError: Lightning is not installed.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        attribute: str = "criterion",
        *,
        schedule: Callable[[int, int], float] | None = None,
    ):
        super().__init__()
        self.loss = loss
        self.attribute = attribute
        self.schedule = schedule

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Check the module and the schedule before training begins."""
        _check_attribute(pl_module, self.attribute)
        if self.schedule is not None and (trainer.max_epochs or -1) < 0:
            raise InputError(f"expected `max_epochs` for a schedule, got {trainer.max_epochs}")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Move class weights and priors to the device of the module."""
        if isinstance(self.loss, torch.nn.Module):
            self.loss.to(pl_module.device)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Replace the module's loss, at the smoothing of the epoch."""
        self._put_back()
        if self.schedule is not None:
            self.loss.smoothing = self.schedule(trainer.current_epoch, trainer.max_epochs)
        own, name = vars(pl_module), self.attribute  # found before submodules and methods
        self._undo = (
            partial(own.update, {name: own[name]}) if name in own else partial(own.pop, name)
        )
        own[name] = self.loss


class OnlineSmoothing(TrainingLoss):
    """`TrainingLoss` with the soft labels of `recuse.targets.OnlineSmoothing`.

    Each batch is counted, and each epoch begins with the soft labels of the previous epoch, over
    all processes. Soft targets (MixUp) are smoothed and not counted. Checkpoints hold the soft
    labels and the counts; within an epoch these are the counts of the first process.

    Args:
        online: Soft labels, for as many classes as the module has.
        attribute: Name of the attribute in which the module keeps its loss.

    Raises:
        InputError: As `TrainingLoss`.
        MissingExtraError: Lightning is not installed.
    """

    def __init__(self, online: recuse.targets.OnlineSmoothing, attribute: str = "criterion"):
        super().__init__(_CountingLoss(online), attribute)
        self.online = online
        self.epoch: int | None = None  # epoch of the counts

    @property
    def state_key(self) -> str:
        """Key of the state in a checkpoint, one for each attribute."""
        return self._generate_state_key(attribute=self.attribute)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Replace the loss; the first batch of an epoch ends the previous one."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if self.epoch not in (None, trainer.current_epoch):
            for counted in (self.online.total, self.online.count):
                counted.copy_(trainer.strategy.reduce(counted.clone(), reduce_op="sum"))
            self.online.step()
        self.epoch = trainer.current_epoch

    def state_dict(self) -> dict[str, Any]:
        """Return soft labels, counts and their epoch."""
        return {"epoch": self.epoch, "online": self.online.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.epoch = state_dict["epoch"]
        self.online.load_state_dict(state_dict["online"])


class SmoothTargets(_PutBack):
    """Smooth the targets of training batches, for a module that calls its own loss.

    All of `training_step` sees the soft targets: a metric in it needs `targets.argmax(1)`, or
    `TrainingLoss` instead. The labels are back before `on_train_batch_end` of the callbacks that
    follow. Ignored labels become rows of zeros, which `F.cross_entropy` counts in its mean.

    Args:
        smoothing: As in `recuse.targets.smooth`.
        num_classes: K.
        key: Place of the target in the batch: an index of a list, or a key of a dict.
        convention: As in `recuse.targets.smooth`.
        ignore_index: As in `recuse.targets.smooth`.

    Raises:
        InputError: An option out of range, or a batch that cannot be changed (a tuple).
        MissingExtraError: Lightning is not installed.
    """

    def __init__(
        self,
        smoothing: float,
        num_classes: int,
        key: Any = 1,
        *,
        convention: Convention = "uniform",
        ignore_index: int = -100,
    ):
        super().__init__()
        as_uniform(smoothing, num_classes, convention)  # which checks them
        self.key = key
        self.smooth = partial(
            recuse.targets.smooth,
            num_classes=num_classes,
            smoothing=smoothing,
            convention=convention,
            ignore_index=ignore_index,
        )

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Replace labels by soft targets."""
        if not isinstance(batch, MutableSequence | MutableMapping):
            raise InputError(
                f"expected a batch that can be changed, a list or a dict, got "
                f"{type(batch).__name__}: let `collate_fn` return a list"
            )
        self._put_back()
        labels = batch[self.key]
        self._undo = partial(batch.__setitem__, self.key, labels)
        batch[self.key] = self.smooth(labels)


class _CountingLoss(torch.nn.Module):
    """Cross entropy with soft labels that are learned from its own inputs."""

    def __init__(self, online: recuse.targets.OnlineSmoothing):
        super().__init__()
        self.online = online

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        loss = smoothed_cross_entropy(
            logits,
            target,
            self.online.smoothing,
            prior=self.online.prior,
            ignore_index=self.online.ignore_index,
        )
        if not target.is_floating_point():
            self.online.update(logits.detach(), target)
        return loss


def _check_attribute(module: Any, name: str) -> None:
    """Check that the module has a callable of this name that an attribute can hide."""
    by_property = isinstance(inspect.getattr_static(type(module), name, None), property)
    if not by_property and callable(getattr(module, name, None)):
        return
    routines = [key for key, value in vars(module).items() if inspect.isroutine(value)]
    losses = [key for key, value in module.named_children() if hasattr(value, "reduction")]
    found = ", ".join(f"`{key}`" for key in losses + routines if not key.startswith("_"))
    raise InputError(
        f"expected the loss of {type(module).__name__} in `{name}`, got none there; "
        f"attributes that may be losses: {found or 'none, see SmoothTargets'}"
    )
