"""MosaicML Composer: label smoothing as an algorithm of its Trainer.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recuse.losses.targets
from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.losses.targets import Convention, check_choice, check_prior, check_smoothing

torch = extra("torch", "torch", "recuse.integrations.composer")

if TYPE_CHECKING:
    from torch import Tensor

try:
    from composer.core import Algorithm
except ImportError:  # the Trainer calls only the methods below
    Algorithm = object

BEFORE, AFTER = "before_loss", "after_loss"


class LabelSmoothing(Algorithm):
    """Smooth the targets before each training loss, and put the labels back after it.

    Replaces `composer.algorithms.LabelSmoothing`, and takes its arguments first. There are two
    differences. Ignored labels stay ignored; Composer gives them the mass a, spread evenly, and
    trains on it. A model that computes its loss in `forward`, as `HuggingFaceModel` does, is
    refused, because its targets would change too late.

    If Composer is installed, this is one of its algorithms. The tests use stand-ins for Composer's
    events and state, since Composer pins an older PyTorch.

    Args:
        smoothing: As in `recuse.targets.smooth`.
        target_key: Place of the target in the batch: an index, a key, or a pair of functions that
            get and set it.
        convention: As in `recuse.targets.smooth`.
        prior: As in `recuse.targets.smooth`.
        ignore_index: As in `recuse.targets.smooth`. Ignored labels are left out of the mean only
            by a loss that divides by the mass of the targets, such as Composer's
            `soft_cross_entropy`, the default of `ComposerClassifier`.

    Raises:
        InputError: An option is out of range, or outputs or targets are not tensors.

    >>> LabelSmoothing(0.1)
    LabelSmoothing(0.1, target_key=1)
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        target_key: Any = 1,
        *,
        convention: Convention = "uniform",
        prior: Tensor | None = None,
        ignore_index: int = -100,
    ):
        check_smoothing(smoothing)
        check_choice(convention, "convention", Convention)
        check_prior(prior, convention)
        self.smoothing = smoothing
        self.target_key = target_key
        self.convention = convention
        self.prior = prior
        self.ignore_index = ignore_index
        self._labels: Tensor | None = None

    def match(self, event: Any, state: Any) -> bool:
        """Return True before and after the loss."""
        return _name(event) in (BEFORE, AFTER)

    def apply(self, event: Any, state: Any, logger: Any) -> None:
        """Smooth the targets of the batch, or put the labels back."""
        if _name(event) == BEFORE:
            self._labels = state.batch_get_item(self.target_key)
            state.batch_set_item(self.target_key, self._smoothed(state.outputs, self._labels))
        elif self._labels is not None:
            state.batch_set_item(self.target_key, self._labels)
            self._labels = None

    def _smoothed(self, logits: Any, labels: Any) -> Tensor:
        for name, value in (("outputs", logits), ("target", labels)):
            if not isinstance(value, torch.Tensor):
                raise InputError(
                    f"expected the {name} of the model as one tensor, got "
                    f"{type(value).__name__}; a loss that is computed in `forward` "
                    "(HuggingFaceModel) cannot be smoothed from outside"
                )
        return recuse.targets.smooth(
            labels,
            logits.shape[1],
            self.smoothing,
            convention=self.convention,
            prior=self.prior if self.prior is None else self.prior.to(logits.device),
            ignore_index=self.ignore_index,
        )

    def __repr__(self) -> str:
        return f"LabelSmoothing({self.smoothing}, target_key={self.target_key!r})"


def _name(event: Any) -> str:
    """Return `before_loss` for `Event.BEFORE_LOSS`."""
    return getattr(event, "value", event)
