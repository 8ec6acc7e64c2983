"""The losses that models of one recipe may differ in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse.errors import InputError
from recuse.recipes._recipe import BINARY, Recipe

if TYPE_CHECKING:
    from torch import nn

LABEL_SMOOTHING, MAX_SUPPRESSION, MARGIN = "label_smoothing", "max_suppression", "margin_smoothing"
LOSSES = {LABEL_SMOOTHING: "smoothing", MAX_SUPPRESSION: "max-suppression", MARGIN: "margin"}
PLAIN = "cross-entropy"


class Variant(NamedTuple):
    """One model of a recipe: a loss and its strength."""

    loss: str
    strength: float

    @property
    def name(self) -> str:
        """As in names of folders and tables."""
        return f"{LOSSES[self.loss]}-{self.strength:g}" if self.strength else PLAIN


def variants(
    losses: tuple[str, ...], strengths: tuple[float, ...], recipe: Recipe
) -> list[Variant]:
    """All models that are asked for: plain cross entropy once, whatever loss it is the zero of.

    Raises:
        InputError: An unknown loss, one that the recipe's head has no form of, no strength, or
            one that is no finite number.
    """
    for loss in losses:
        if loss not in LOSSES:
            raise InputError(f"expected a loss of {', '.join(LOSSES)}, got {loss!r}")
        if recipe.output == BINARY and loss != LABEL_SMOOTHING:
            raise InputError(
                f"{recipe.name}: expected label_smoothing with one logit, got {loss}: "
                "it is about the maximum of several"
            )
    if not strengths or not all(map(math.isfinite, strengths)):
        raise InputError(f"expected --smoothing with finite numbers, got {strengths}")
    found = {v.name: v for loss in losses for s in strengths for v in [Variant(loss, s)]}
    return list(found.values())


def loss_of(variant: Variant, output: str, ignore_index: int | None) -> nn.Module:
    """The training loss; all are means over the labels that count."""
    from recuse import losses

    if output == BINARY:
        return losses.SmoothedBCEWithLogits(variant.strength)
    ignored: dict[str, Any] = {} if ignore_index is None else {"ignore_index": ignore_index}
    make = {
        LABEL_SMOOTHING: losses.SmoothedCrossEntropy,
        MAX_SUPPRESSION: losses.MaxSuppression,
        MARGIN: losses.MarginSmoothing,
    }[variant.loss]
    return make(variant.strength, **ignored)
