"""The network and its loss, as Lightning trains them.

b = rows of this process, K = classes, ... = pixels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.recipes._batches import Batches, stamp_of
from recuse.recipes._recipe import BINARY, Recipe
from recuse.recipes._settings import SORTED, Settings
from recuse.recipes.data import Part, collate

torch = extra("torch", "train", "the training recipes")
lightning = extra("lightning.pytorch", "train", "the training recipes")

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Shaped
    from torch import Tensor


class Training(lightning.LightningModule):
    """One model of a recipe. All randomness of an epoch comes from its stamp.

    Args:
        recipe: Of optimizer, schedule and head.
        network: x -> logits (b, K), (b, 1) or, for pixels, (b, K, h, w).
        criterion: Its loss, a mean over labels.
        train: What it is trained on.
        seed: Of the batches.
        settings: Batch, order and workers.
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
        """The batches of the current epoch."""
        data, settings = self.part.data, self.settings
        batches = Batches(
            len(data),
            settings.batch,
            stamp_of(self.seed, self.current_epoch),
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            labels=labels_of(data) if settings.order == SORTED else None,
        )
        return torch.utils.data.DataLoader(
            data, batch_sampler=batches, collate_fn=collate, num_workers=settings.workers
        )

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Dropout is drawn anew in each epoch, and the same in a resumed run.

        Not in `on_train_epoch_start`, which Lightning leaves out in the first resumed epoch.
        """
        self.logged = False
        if index == 0:
            stamp = stamp_of(self.seed, self.current_epoch)
            torch.manual_seed(stamp + self.trainer.global_rank)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss, whose gradients are averaged over processes."""
        x, y = batch
        loss = self.criterion(*self.judged(self.forward(x), y))
        self._log_once(loss)
        return loss * self._share(y)

    def _log_once(self, loss: Float[Tensor, ""]) -> None:
        """The loss at the weights themselves: SAM computes another one beside them."""
        if not self.logged:
            self.log("loss", loss, on_step=True, on_epoch=False, prog_bar=True, sync_dist=True)
        self.logged = True

    def forward(self, x: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b K ..."]:
        """Logits."""
        if self.recipe.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.network(x)

    def judged(
        self, logits: Float[Tensor, "b K ..."], y: Int64[Tensor, "b ..."]
    ) -> tuple[Tensor, Tensor]:
        """Logits and labels in the forms that the loss takes."""
        if self.recipe.output == BINARY:
            return logits.squeeze(1), y.to(logits.dtype)
        if logits.shape[2:] != y.shape[1:]:
            resize = partial(torch.nn.functional.interpolate, mode="bilinear", align_corners=False)
            logits = resize(logits, y.shape[1:])
        return logits, y

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer, at a rate for each step."""
        optimizer = self.recipe.optimizer(self.network)
        steps = max(1, self.trainer.estimated_stepping_batches)
        rates = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.recipe.schedule(min(step / steps, 1))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def _share(self, y: Int64[Tensor, "b ..."]) -> Float[Tensor, ""] | float:
        """What makes the mean over processes one over their labels: pixels may be void."""
        if self.trainer.world_size == 1 or y.ndim == 1:
            return 1.0
        counted = (y != self.criterion.ignore_index).sum()
        return counted / self.all_gather(counted).float().mean()


def labels_of(data: Any) -> Int64[Tensor, " n"]:
    """The labels of a data set in memory, one for each item.

    Raises:
        InputError: Items that are read when they are needed, or labels of pixels.
    """
    labels = getattr(data, "y", None)
    if labels is None or labels.ndim != 1:
        raise InputError("expected data in memory with one label a row for --order sorted")
    return labels
