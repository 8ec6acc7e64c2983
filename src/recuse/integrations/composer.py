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
except ImportError:  # the methods below are all that the Trainer calls
    Algorithm = object

BEFORE, AFTER = "before_loss", "after_loss"


class LabelSmoothing(Algorithm):
    """Smooth the targets before each loss of the training, and put them back after it.

    As `composer.algorithms.LabelSmoothing`, whose arguments come first, so training metrics
    see the labels. Two differences: ignored labels stay ignored (Composer gives them the
    mass a, spread evenly, which is trained), and a model that computes its loss in
    `forward`, as `HuggingFaceModel` does, is refused: its targets would change too late.

    Where Composer is installed this is one of its algorithms; it is tested with stand-ins
    for Composer's events and state, since Composer pins an older PyTorch.

    Args:
        smoothing: As in `recuse.targets.smooth`.
        target_key: Where the target is in the batch: an index, a key, or a pair of
            functions that get and set it.
        convention: As in `recuse.targets.smooth`.
        prior: As in `recuse.targets.smooth`.
        ignore_index: As in `recuse.targets.smooth`. The loss has to divide by the mass of
            the targets to leave ignored ones out of its mean; Composer's
            `soft_cross_entropy`, the default of `ComposerClassifier`, does.

    Raises:
        InputError: An option out of range; outputs or targets that are no tensors.

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
        """Before and after the loss."""
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
    """`before_loss` of `Event.BEFORE_LOSS`."""
    return getattr(event, "value", event)
