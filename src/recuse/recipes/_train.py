"""`train_model`: one model to its last epoch, through any number of interruptions.

The folder of a model holds `last.ckpt` while it trains (every epoch, read back with weights only)
and `model.safetensors` when it is done.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recuse._check import InputError, extra
from recuse.recipes._losses import Variant, loss_of
from recuse.recipes._module import Training
from recuse.recipes._recipe import Recipe
from recuse.recipes._settings import Settings
from recuse.recipes.data import Parts

torch = extra("torch", "train", "the training recipes")
lightning = extra("lightning.pytorch", "train", "the training recipes")

CHECKPOINT, WEIGHTS, LOG = "last.ckpt", "model.safetensors", "log"


class _Checkpoint(lightning.Callback):
    """Every epoch's end, so that a kill at any moment leaves a whole checkpoint."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write beside it, then take its place."""
        new = self.path.with_suffix(".new")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            os.replace(new, self.path)


def check_training(recipe: Recipe, variants: Sequence[Variant], settings: Settings) -> None:
    """Everything that does not depend on data, before any of them are read.

    Raises:
        InputError: A strength that its loss does not have, a machine that is not here, or a
            precision that it does not know by this name.
    """
    for variant in variants:
        loss_of(variant, recipe.output, None)
    try:
        with _quietly():
            trainer = lightning.Trainer(
                **_machine(settings), logger=False, enable_checkpointing=False
            )
    except Exception as error:  # Lightning raises errors of many kinds
        detail = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"expected an accelerator, devices and a precision of this machine, "
            f"got {settings.accelerator}, {settings.devices} and {settings.precision}: {detail}"
        ) from error
    if trainer.precision != settings.precision:
        raise InputError(
            f"expected `precision` {trainer.precision}, which is what would be used here, "
            f"got {settings.precision!r}"
        )


def train_model(
    recipe: Recipe, parts: Parts, variant: Variant, seed: int, folder: Path, settings: Settings
) -> torch.nn.Module:
    """The trained network, on the CPU; from `folder` as far as it was trained already.

    Args:
        recipe: What to train.
        parts: Of the data, from the same seed.
        variant: The loss.
        seed: Of initialisation, batches, augmentation and dropout: the same for all losses.
        folder: Of this model.
        settings: As above; the same as when the folder was begun.

    Raises:
        InputError: A checkpoint that cannot be read, or a batch that processes cannot share.
    """
    network = initial(recipe, parts, seed)
    if (folder / WEIGHTS).exists():
        return with_weights(network, folder / WEIGHTS)
    criterion = loss_of(variant, recipe.output, parts.ignore_index)
    training = Training(recipe, network, criterion, parts.train, seed=seed, settings=settings)
    folder.mkdir(parents=True, exist_ok=True)
    with _quietly():
        trainer = _trainer(folder, settings)
        _fit(trainer, training, folder / CHECKPOINT)
        if trainer.is_global_zero:
            save_weights(network, folder / WEIGHTS)
            (folder / CHECKPOINT).unlink(missing_ok=True)
        trainer.strategy.barrier()
    return network.cpu()


def trained(recipe: Recipe, parts: Parts, folder: Path) -> torch.nn.Module:
    """The network of a folder in which training was finished."""
    return with_weights(initial(recipe, parts, 0), folder / WEIGHTS)


def initial(recipe: Recipe, parts: Parts, seed: int) -> torch.nn.Module:
    """The untrained network, the same for every loss; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = recipe.network(parts)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    return network


def save_weights(network: torch.nn.Module, path: Path) -> None:
    """As safetensors, whole or not at all."""
    from safetensors.torch import save_file

    from recuse._files import atomic

    with atomic(path) as temporary:
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, temporary)


def with_weights(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    """The network with what `save_weights` wrote."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise InputError(f"{path}: expected weights of this recipe's network ({detail})") from error
    return network


def _trainer(folder: Path, settings: Settings) -> Any:
    callbacks: list[Any] = [_Checkpoint(folder / CHECKPOINT)]
    if settings.progress:
        bar = lightning.callbacks.RichProgressBar
        callbacks.append(bar(leave=False, console_kwargs={"stderr": True}))
    return lightning.Trainer(
        **_machine(settings),
        max_epochs=settings.epochs,
        callbacks=callbacks,
        logger=_loggers(folder, settings),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )


def _machine(settings: Settings) -> dict[str, Any]:
    """What Lightning is to train on."""
    return {
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "strategy": _strategy(settings),
        "precision": settings.precision,
    }


def _strategy(settings: Settings) -> str:
    """Processes of their own, unless `torchrun` has started them."""
    if settings.devices == 1:
        return "auto"
    return "ddp" if "TORCHELASTIC_RUN_ID" in os.environ else "ddp_spawn"


def _loggers(folder: Path, settings: Settings) -> list[Any]:
    loggers = [lightning.loggers.CSVLogger(folder, name=LOG, flush_logs_every_n_steps=50)]
    if settings.tensorboard:
        extra("tensorboard", "tensorboard", "--tensorboard")
        loggers.append(lightning.loggers.TensorBoardLogger(folder, name=LOG))
    return loggers


def _fit(trainer: Any, training: Training, checkpoint: Path) -> None:
    if not checkpoint.exists():
        trainer.fit(training)
        return
    _check_readable(checkpoint, training)
    trainer.fit(training, ckpt_path=checkpoint, weights_only=True)


def _check_readable(checkpoint: Path, training: Training) -> None:
    """Tensors and numbers alone, of this network; an error of training is another thing."""
    try:
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        fits = state.keys() == training.state_dict().keys()
    except Exception as error:  # as many kinds as there are ways to be no checkpoint
        raise InputError(
            f"{checkpoint}: expected a checkpoint of weights, got something else "
            f"({type(error).__name__}): delete it to begin this model again"
        ) from error
    if not fits:
        raise InputError(
            f"{checkpoint}: expected a checkpoint of this recipe's network, got another one: "
            "delete it to begin this model again"
        )


@contextmanager
def _quietly() -> Generator[None]:
    """Without what Lightning tells of the machine."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            yield
    finally:
        logger.setLevel(level)
