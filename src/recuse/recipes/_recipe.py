"""`Recipe`: what one published experiment trains, on what, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Part, Parts

CLASSES, BINARY, PIXELS = "classes", "binary", "pixels"  # what the network gives
WHOLE_BATCHES = "the last, smaller batch of an epoch is left out"  # of every recipe
RESIZED = "test images are resized to 256 pixels before the crop, which the paper does not give"


@dataclass(frozen=True)
class Recipe:
    """One experiment; everything but the loss is the same for all its models.

    `load(folder, seed, **options)` gives the parts, `network(parts)` the model,
    `optimizer(model)` what steps, at rates that `schedule(t)` multiplies, t in 0..1 being the
    share of the training that is done.
    """

    name: str
    title: str  # model and data, in a few words
    data: str  # what has to be in the folder of --data; "" if nothing
    load: Callable[..., Parts]
    network: Callable[[Parts], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[float], float]
    epochs: int
    batch: int
    cost: str  # of one model, and on what it was measured
    reference: str  # a published result
    source: str  # where the settings come from
    differs: str = ""  # what is not as in that source
    smoothings: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    output: str = CLASSES
    options: Mapping[str, Any] = field(default_factory=dict)  # of `load`, and their defaults
    channels_last: bool = False
    pixels_per_image: int | None = None  # of the saved logits; the sketch sees all
    shift: Callable[[Path | None, Parts], Part | None] | None = None  # test classes, other source

    @property
    def kind(self) -> str:
        """What its logits files hold, as `recuse.read_logits` takes it."""
        return BINARY if self.output == BINARY else "logits"
