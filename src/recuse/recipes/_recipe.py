"""Parts of an experiment: `Recipe`, the losses its models differ in, and how to train them.

t = share of the training that is done, in 0..1, so that a shorter training has the same schedule.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse.errors import InputError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Part, Parts

CLASSES, BINARY, PIXELS = "classes", "binary", "pixels"  # outputs of a network
LABEL_SMOOTHING, MAX_SUPPRESSION, MARGIN = "label_smoothing", "max_suppression", "margin_smoothing"
LOSSES = {LABEL_SMOOTHING: "smoothing", MAX_SUPPRESSION: "max-suppression", MARGIN: "margin"}
PLAIN = "cross-entropy"
SHUFFLED, SORTED = "shuffled", "sorted"  # orders of the training rows
TERMINATED = 143  # exit code after SIGTERM: 128 + SIGTERM
WHOLE_BATCHES = "the last, smaller batch of an epoch is left out"  # in every recipe
RESIZED = "test images are resized to 256 pixels before the crop, which the paper does not give"


@dataclass(frozen=True)
class Recipe:
    """One experiment. Its models differ in their loss and seed only.

    Attributes:
        name: Name on the command line.
        title: Model and data in a few words.
        data: Contents of the folder `--data`; empty if no data are needed.
        load: `load(folder, seed=..., **options)`, the four parts of the data.
        network: Build the untrained network for these parts.
        optimizer: Build the optimizer of a network.
        schedule: Factor on the learning rate at t.
        epochs: Epochs of the full training.
        batch: Rows in a batch, over all processes.
        cost: Time to train one model, and the machine it was measured on.
        reference: Published result.
        source: Where the settings come from.
        differs: Differences from that source.
        smoothings: Default strengths of the loss.
        output: "classes", "binary" (one logit) or "pixels".
        options: Options of `load` and their defaults.
        channels_last: Memory format of images.
        pixels_per_image: Pixels of each image in the held-out files; the sketches count all.
        shift: Test items of the same classes from another source, or None if they are missing.
    """

    name: str
    title: str
    data: str
    load: Callable[..., Parts]
    network: Callable[[Parts], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[float], float]
    epochs: int
    batch: int
    cost: str
    reference: str
    source: str
    differs: str = ""
    smoothings: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    output: str = CLASSES
    options: Mapping[str, Any] = field(default_factory=dict)
    channels_last: bool = False
    pixels_per_image: int | None = None
    shift: Callable[[Path | None, Parts], Part | None] | None = None

    @property
    def kind(self) -> str:
        """Input kind of the held-out files, as `recuse.read` takes it."""
        return BINARY if self.output == BINARY else "logits"


class Variant(NamedTuple):
    """A loss and its strength: all that distinguishes two models of one seed."""

    loss: str
    strength: float

    @property
    def name(self) -> str:
        """Name in folders and tables."""
        return f"{LOSSES[self.loss]}-{self.strength:g}" if self.strength else PLAIN


def variants(
    losses: tuple[str, ...], strengths: tuple[float, ...], recipe: Recipe
) -> list[Variant]:
    """Return every loss at every strength, with plain cross entropy (strength 0) only once.

    Raises:
        InputError: An unknown loss, a loss that needs more than one logit, no strength, or a
            strength that is not finite.
    """
    for loss in losses:
        if loss not in LOSSES:
            raise InputError(f"expected a loss of {', '.join(LOSSES)}, got {loss!r}")
        if recipe.output == BINARY and loss != LABEL_SMOOTHING:
            raise InputError(
                f"{recipe.name}: expected label_smoothing with one logit, got {loss}, "
                "which needs several logits"
            )
    if not strengths or not all(map(math.isfinite, strengths)):
        raise InputError(f"expected --smoothing with finite numbers, got {strengths}")
    found = {v.name: v for loss in losses for s in strengths for v in [Variant(loss, s)]}
    return list(found.values())


def loss_of(variant: Variant, output: str, ignore_index: int | None) -> nn.Module:
    """Return the training loss, a mean over the labels that are not ignored."""
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


@dataclass(frozen=True)
class Settings:
    """Training settings that a recipe leaves open.

    Attributes:
        epochs: Epochs of the training; fewer than the recipe's keep the shape of its schedule.
        batch: Rows in a batch, over all processes.
        order: "shuffled", or "sorted" by class.
        accelerator: Accelerator of Lightning.
        devices: Processes that share each batch.
        precision: Precision of Lightning.
        workers: Processes that read data, for each training process.
        tensorboard: Log for TensorBoard too.
        progress: Show a progress bar.

    Raises:
        InputError: An unknown order, a batch that the processes cannot share evenly, or not the
            processes that `torchrun` started.
    """

    epochs: int
    batch: int
    order: str = SHUFFLED
    accelerator: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    workers: int = 0
    tensorboard: bool = False
    progress: bool = False

    def __post_init__(self):
        if self.batch % self.devices:
            raise InputError(
                f"expected a batch that {self.devices} processes can share evenly, "
                f"got {self.batch} rows"
            )
        if started() not in (0, self.devices):
            raise InputError(
                f"expected --devices {started()}, the processes that torchrun has started, "
                f"got {self.devices}"
            )
        if self.order not in (SHUFFLED, SORTED):
            raise InputError(f"expected `order` {SHUFFLED} or {SORTED}, got {self.order!r}")

    @property
    def device(self) -> str:
        """Device on which logits are computed."""
        import torch

        wanted = self.accelerator in ("auto", "gpu", "cuda")
        return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def started() -> int:
    """Return the number of processes that `torchrun` has started; 0 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def is_helper() -> bool:
    """Return True in a process of `torchrun` that trains but does not write or evaluate."""
    return os.environ.get("RANK", "0") != "0"


# Parts of a recipe: plain functions, which can be sent to other processes; `partial` sets their
# options. They import torch when they are called.


def load_data(folder: Path | None, *, source: str, seed: int, **options: Any) -> Parts:
    """Load the data by a function of `recuse.recipes.data`, such as "cifar.load"."""
    module, _, function = source.partition(".")
    load = getattr(import_module(f"recuse.recipes.data.{module}"), function)
    return load(folder, seed=seed, **options)


def network_named(parts: Parts, *, name: str, **options: Any) -> nn.Module:
    """Return the network of this name in `recuse.recipes.networks`, for the classes of the data."""
    from recuse.recipes import networks

    return getattr(networks, name)(parts.classes, **options)


def torch_optimizer(model: nn.Module, *, name: str, **options: Any) -> Optimizer:
    """Return the optimizer of this name in `torch.optim`, for all parameters of a network."""
    import torch

    return getattr(torch.optim, name)(model.parameters(), **options)


def constant(t: float) -> float:
    """Return 1."""
    return 1.0


def drops(t: float, at: Sequence[float], factor: float = 0.1) -> float:
    """Multiply the rate by `factor` at each share in `at`.

    >>> [round(drops(t, at=(1 / 3, 2 / 3)), 3) for t in (0, 0.5, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return factor ** sum(t >= share for share in at)


def cosine(t: float, warmup: float = 0.0) -> float:
    """Rise linearly from 0 over the share `warmup`, then fall along half a cosine to 0.

    >>> [round(cosine(t, warmup=0.1), 3) for t in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if t < warmup:
        return t / warmup
    return 0.5 * (1 + math.cos(math.pi * (t - warmup) / (1 - warmup)))


def poly(t: float, power: float = 0.9) -> float:
    """Return (1 - t) to a power.

    >>> poly(0.5) == 0.5**0.9
    True
    """
    return (1 - t) ** power
