"""How to train, as far as the recipe does not say it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from recuse.errors import InputError

SHUFFLED, SORTED = "shuffled", "sorted"
ORDERS = (SHUFFLED, SORTED)
TERMINATED = 143  # exit code of what SIGTERM stops: 128 + SIGTERM


@dataclass(frozen=True)
class Settings:
    """How to train, as far as it is not the recipe's."""

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
        if self.order not in ORDERS:
            raise InputError(f"expected `order` {' or '.join(ORDERS)}, got {self.order!r}")


def started() -> int:
    """How many processes `torchrun` has started to share the training; 0 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def is_helper() -> bool:
    """Whether `torchrun` started this process to train along: another one writes and evaluates."""
    return os.environ.get("RANK", "0") != "0"


def device_of(settings: Settings) -> str:
    """Where logits are computed."""
    import torch

    wanted = settings.accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"
