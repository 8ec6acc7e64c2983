"""fastai: a loss with its activation, and callbacks that change training only.

n = examples, K = classes (at `axis`, as in fastai), ... = any other axes (tokens, pixels).

| | |
|---|---|
| `LossFlat` | a loss of recuse for `Learner(loss_func=...)`, in training and validation |
| `TrainingLoss` | callback: another loss in training; validation keeps the learner's |
| `SmoothTargets` | callback: softened targets in training, for a loss that takes them |

All of them go with fastai's `MixUp` and `CutMix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import recuse.losses.targets
from recuse._internal.check import base_class, extra
from recuse.errors import InputError
from recuse.losses.targets import Convention, check_choice, check_smoothing

torch = extra("torch", "torch", "recuse.integrations.fastai")

if TYPE_CHECKING:
    from torch import Tensor

Callback = base_class("fastai.callback.core", "Callback", "fastai")


class LossFlat(torch.nn.Module):
    """A loss of `recuse.losses` with the interface of fastai's losses.

    With it, `Learner.get_preds` returns probabilities, not logits, the predicted class with
    `with_decoded=True`, and the loss of each example with `with_loss=True`. It replaces
    `CrossEntropyLossFlat`, and takes soft targets too, in the shape of the logits.

    Args:
        loss: A loss for logits (n, K, ...), such as `SmoothedCrossEntropy`.
        axis: Axis of the classes: the last, or 1 for segmentation.
        flatten: Accept labels with superfluous axes, such as the (n, 1) of tables, and return
            unreduced losses as one axis, as fastai does.

    >>> from recuse.losses import SmoothedCrossEntropy
    >>> loss = LossFlat(SmoothedCrossEntropy(0.1))
    >>> loss(torch.zeros(2, 4), torch.tensor([[3], [1]]))
    tensor(1.3863)
    >>> loss.activation(torch.tensor([[0.0, 1.0]]))
    tensor([[0.2689, 0.7311]])
    """

    y_int = True  # so that MixUp mixes the losses of two labels, not the labels

    def __init__(self, loss: torch.nn.Module, *, axis: int = -1, flatten: bool = True):
        super().__init__()
        self.loss = loss
        self.axis = axis
        self.flatten = flatten

    @property
    def reduction(self) -> str:
        """Reduction of the loss; fastai sets it to `none` for a while."""
        return self.loss.reduction

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.loss.reduction = value

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        logits, target = (x.as_subclass(torch.Tensor) for x in (logits, target))
        if target.is_floating_point():
            target = target.movedim(self.axis, 1)
        elif self.flatten:
            target = _labels_for(logits, target, self.axis)
        loss = self.loss(logits.movedim(self.axis, 1), target)
        return loss.flatten() if self.flatten and loss.ndim else loss

    def activation(self, logits: Tensor) -> Tensor:
        """Return probabilities."""
        return logits.softmax(self.axis)

    def decodes(self, scores: Tensor) -> Tensor:
        """Return the classes of logits or probabilities."""
        return scores.argmax(self.axis)


class _PutBack(Callback):
    """Swap attributes before the training loss and put them back after it, however it ends."""

    run_valid = False
    _own: Sequence[tuple[Any, str, Any]] = ()  # object, attribute, its own value

    def _swap(self, new: Sequence[tuple[Any, str, Any]]) -> None:
        self._own = [(owner, name, getattr(owner, name)) for owner, name, _ in new]
        for owner, name, value in new:
            setattr(owner, name, value)

    def after_loss(self) -> None:
        """Put back the learner's own."""
        for owner, name, value in self._own:
            setattr(owner, name, value)
        self._own = ()

    def after_cancel_batch(self) -> None:
        """Put it back also if a callback cancels the batch before the loss."""
        self.after_loss()

    def before_fit(self) -> None:
        """Put it back also if the loss has raised an error in an earlier fit."""
        self.after_loss()

    def before_validate(self) -> None:
        """Put it back also if the loss has raised an error in an earlier fit."""
        self.after_loss()


class TrainingLoss(_PutBack):
    """Use another loss in training; validation, and what follows, keep the learner's own.

    Args:
        loss: Loss of predictions and targets, such as `LossFlat` of a loss of recuse.

    Raises:
        MissingExtraError: fastai is not installed.
    """

    def __init__(self, loss: torch.nn.Module):
        super().__init__()
        self.replacement = loss  # `loss` is an attribute of the learner

    def before_fit(self) -> None:
        """Move class weights and priors to the device of the model."""
        super().before_fit()
        self.replacement.to(next(self.learn.model.parameters()).device)

    def after_pred(self) -> None:
        """Replace the loss just before it is called."""
        place = _place_of_loss(self.learn)
        self._swap([(*place, self.replacement)])


class SmoothTargets(_PutBack):
    """Smooth the targets for the training loss; everything else sees the labels.

    The loss has to take soft targets: `torch.nn.CrossEntropyLoss()`, `LossFlat`, or for
    logits (n, K) `CrossEntropyLossFlat(flatten=False)`.

    Args:
        smoothing: As in `recuse.targets.smooth`.
        axis: Axis of the classes in the predictions: the last, or 1 for segmentation.
        convention: As in `recuse.targets.smooth`.
        ignore_index: As in `recuse.targets.smooth`.

    Raises:
        InputError: An option out of range, or a loss of fastai that flattens its targets.
        MissingExtraError: fastai is not installed.
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        axis: int = -1,
        convention: Convention = "uniform",
        ignore_index: int = -100,
    ):
        super().__init__()
        check_smoothing(smoothing)
        check_choice(convention, "convention", Convention)
        self.smoothing = smoothing
        self.axis = axis
        self.convention = convention
        self.ignore_index = ignore_index

    def after_pred(self) -> None:
        """Replace labels by soft targets, also those that MixUp has set aside."""
        places = [(self.learn, "yb")]
        if (mixer := _mixer(self.learn)) is not None:
            places.append((mixer, "yb1"))
        _check_takes_soft(getattr(*_place_of_loss(self.learn)))
        new = []
        for owner, name in places:
            labels, *others = getattr(owner, name)
            new.append((owner, name, (self._soft(labels), *others)))
        self._swap(new)

    def _soft(self, labels: Tensor) -> Tensor:
        logits, labels = (x.as_subclass(torch.Tensor) for x in (self.learn.pred, labels))
        if labels.is_floating_point():
            labels = labels.movedim(self.axis, 1)
        else:
            labels = _labels_for(logits, labels, self.axis)
        soft = recuse.targets.smooth(
            labels,
            logits.shape[self.axis],
            self.smoothing,
            convention=self.convention,
            ignore_index=self.ignore_index,
        )
        return soft.movedim(1, self.axis)


def _labels_for(logits: Tensor, labels: Tensor, axis: int) -> Tensor:
    """Return the labels in the shape of the logits without the classes."""
    shape = list(logits.shape)
    del shape[axis]
    return labels.reshape(shape)


def _mixer(learn: Any) -> Any:
    """Return the MixUp or CutMix whose function replaces the loss, if there is one."""
    owner = getattr(learn.loss_func, "__self__", None)
    return owner if hasattr(owner, "old_lf") else None


def _place_of_loss(learn: Any) -> tuple[Any, str]:
    """Return the object and the attribute that hold the loss."""
    mixer = _mixer(learn)
    return (learn, "loss_func") if mixer is None else (mixer, "old_lf")


def _check_takes_soft(loss: Any) -> None:
    if getattr(loss, "flatten", False) and not isinstance(loss, LossFlat):
        raise InputError(
            f"expected a loss that takes soft targets, got {loss!r}, which flattens them: "
            "use LossFlat, or flatten=False for logits (n, K)"
        )
