"""A model of a recipe as Lightning trains it, and the batches of an epoch.

n = training rows, b = rows of a batch in this process, K = classes, ... = pixels.

Batches, augmentation and dropout of an epoch are drawn from its stamp, an integer of seed and
epoch. A run that was killed and resumed, another smoothing, and two processes instead of one
therefore see the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.recipes._recipe import BINARY, SORTED, Recipe, Settings
from recuse.recipes.data._parts import Part, collate

torch = extra("torch", "train", "the training recipes")
lightning = extra("lightning.pytorch", "train", "the training recipes")

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Shaped
    from torch import Tensor

STRIDE = 100_003  # more epochs than any training has, so that stamps of two seeds differ


def stamp_of(seed: int, epoch: int) -> int:
    """Return the integer from which all randomness of an epoch is drawn."""
    return seed * STRIDE + epoch


class Batches(torch.utils.data.Sampler):
    """Pairs (stamp, row) of one epoch in batches; this process gets its share of each batch.

    The last, smaller batch is left out: other rows in every epoch.

    Args:
        n: Training rows.
        batch: Rows of a batch over all processes.
        stamp: Stamp of the epoch.
        rank: Number of this process.
        world: Number of processes.
        labels: Shape (n,), to order the rows by class in every epoch; None shuffles them.

    Raises:
        InputError: The processes cannot share a batch evenly.

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
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(self.stamp))
        if self.labels is not None:
            order = order[torch.argsort(self.labels[order], stable=True)]
        rows = order.tolist()
        for start in range(0, len(self) * self.batch, self.batch):
            share = rows[start + self.rank : start + self.batch : self.world]
            yield [(self.stamp, row) for row in share]


class Training(lightning.LightningModule):
    """One model of a recipe.

    Args:
        recipe: Recipe with the optimizer, the schedule and the kind of output.
        network: x -> logits (b, K), (b, 1) or, for pixels, (b, K, h, w).
        criterion: Loss, a mean over labels.
        train: Training part.
        seed: Seed of the batches, the augmentation and the dropout.
        settings: Settings with batch, order and workers.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: torch.nn.Module,
        criterion: torch.nn.Module,
        train: Part,
        *,
        seed: int,
        settings: Settings,
    ):
        super().__init__()
        self.network, self.criterion = network, criterion
        self.recipe, self.part, self.seed, self.settings = recipe, train, seed, settings
        self.logged = False  # the loss of this batch

    def train_dataloader(self) -> Any:
        """Return the batches of the current epoch."""
        data, settings = self.part.data, self.settings
        batches = Batches(
            len(data),
            settings.batch,
            stamp_of(self.seed, self.current_epoch),
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            labels=_labels_of(data) if settings.order == SORTED else None,
        )
        return torch.utils.data.DataLoader(
            data, batch_sampler=batches, collate_fn=collate, num_workers=settings.workers
        )

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Seed the dropout at the first batch of each epoch.

        Not in `on_train_epoch_start`, which Lightning skips in the first epoch after a resume.
        """
        self.logged = False
        if index == 0:
            stamp = stamp_of(self.seed, self.current_epoch)
            torch.manual_seed(stamp + self.trainer.global_rank)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss, whose gradients Lightning averages over processes.

        SAM calls this twice a batch; only the loss at the weights themselves is logged.
        """
        x, y = batch
        loss = self.criterion(*self._paired(self.forward(x), y))
        if not self.logged:
            self.log("loss", loss, on_step=True, on_epoch=False, prog_bar=True, sync_dist=True)
        self.logged = True
        return loss * self._share(y)

    def forward(self, x: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b K ..."]:
        """Return the logits."""
        if self.recipe.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.network(x)

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimizer, with a rate for each step."""
        optimizer = self.recipe.optimizer(self.network)
        steps = max(1, self.trainer.estimated_stepping_batches)
        rates = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.recipe.schedule(min(step / steps, 1))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def _paired(
        self, logits: Float[Tensor, "b K ..."], y: Int64[Tensor, "b ..."]
    ) -> tuple[Tensor, Tensor]:
        """Bring logits and labels into the shapes that the loss takes."""
        if self.recipe.output == BINARY:
            return logits.squeeze(1), y.to(logits.dtype)
        if logits.shape[2:] != y.shape[1:]:
            resize = partial(torch.nn.functional.interpolate, mode="bilinear", align_corners=False)
            logits = resize(logits, y.shape[1:])
        return logits, y

    def _share(self, y: Int64[Tensor, "b ..."]) -> Float[Tensor, ""] | float:
        """Weight that turns the mean over processes into a mean over labels: pixels may be void."""
        if self.trainer.world_size == 1 or y.ndim == 1:
            return 1.0
        counted = (y != self.criterion.ignore_index).sum()
        return counted / self.all_gather(counted).float().mean()


def _labels_of(data: Any) -> Int64[Tensor, " n"]:
    """Return the labels of a data set in memory.

    Raises:
        InputError: Items that are read when they are needed, or labels of pixels.
    """
    labels = getattr(data, "y", None)
    if labels is None or labels.ndim != 1:
        raise InputError("expected data in memory with one label a row for --order sorted")
    return labels
