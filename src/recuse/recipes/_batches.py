"""The batches of an epoch, as a function of seed and epoch alone.

n = training rows, b = rows of a batch over all processes.

Whatever was drawn is drawn again by a run that was killed and resumed, by another smoothing, and
by two processes in place of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from recuse._internal.check import extra
from recuse.errors import InputError

torch = extra("torch", "train", "the training recipes")

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

STRIDE = 100_003  # epochs of one seed that do not meet those of the next


def stamp_of(seed: int, epoch: int) -> int:
    """What all randomness of an epoch is drawn from."""
    return seed * STRIDE + epoch


class Batches(torch.utils.data.Sampler):
    """Pairs (stamp, row) of one epoch in batches of `batch` rows, this process' share of each.

    The last, smaller batch is left out: another one in every epoch.

    Args:
        n: Training rows.
        batch: Rows of a batch over all processes.
        stamp: Of the epoch.
        rank: Of this process.
        world: Processes.
        labels: Shape (n,): rows come in the order of their labels, class after class, in every
            epoch; None shuffles them.

    >>> whole = [[row for _, row in batch] for batch in Batches(5, 2, stamp_of(0, 0))]
    >>> half = [[row for _, row in batch] for batch in Batches(5, 2, stamp_of(0, 0), world=2)]
    >>> len(whole), half == [batch[::2] for batch in whole]
    (2, True)
    """

    def __init__(
        self,
        n: int,
        batch: int,
        stamp: int,
        *,
        rank: int = 0,
        world: int = 1,
        labels: Int64[Tensor, " n"] | None = None,
    ):
        self.batch = min(batch, n)
        if self.batch % world:
            raise InputError(
                f"expected a batch that {world} processes can share evenly, got {self.batch} rows"
            )
        self.n, self.stamp, self.rank, self.world, self.labels = n, stamp, rank, world, labels

    def __len__(self) -> int:
        return self.n // self.batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order().tolist()
        for start in range(0, len(self) * self.batch, self.batch):
            rows = order[start + self.rank : start + self.batch : self.world]
            yield [(self.stamp, row) for row in rows]

    def _order(self) -> Int64[Tensor, " n"]:
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(self.stamp))
        if self.labels is None:
            return order
        return order[torch.argsort(self.labels[order], stable=True)]
