"""`train_model`: train one model to its last epoch, through any number of interruptions.

The folder of a model holds `last.ckpt` while it trains, written at the end of every epoch and read
back with `weights_only`, and `model.safetensors` when it is done, with the seconds that all its
sessions took.
"""

from __future__ import annotations

import csv
import logging
import os
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.recipes._module import Training
from recuse.recipes._recipe import (
    TERMINATED,
    Recipe,
    Settings,
    Variant,
    is_helper,
    loss_of,
    started,
)
from recuse.recipes.data import Parts

torch = extra("torch", "train", "the training recipes")
lightning = extra("lightning.pytorch", "train", "the training recipes")

CHECKPOINT, WEIGHTS, LOG = "last.ckpt", "model.safetensors", "log"
SECONDS = "seconds"  # of training, in checkpoints and in the metadata of weights


class _Begun(NamedTuple):
    """Progress of a model at the beginning of this session."""

    steps: int
    seconds: float
    since: float  # beginning of this session, by the clock that all processes share

    def so_far(self) -> float:
        """Return the seconds of all sessions."""
        return self.seconds + time.perf_counter() - self.since


class _Checkpoint(lightning.Callback):
    """Save at the end of every epoch, so that a kill at any moment leaves a whole checkpoint."""

    def __init__(self, path: Path, begun: _Begun):
        self.path, self.begun = path, begun

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict) -> None:
        """Add the seconds of all sessions."""
        checkpoint[SECONDS] = self.begun.so_far()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write a new file, under a name of this process only, and rename it."""
        new = self.path.with_suffix(f".{os.getpid()}.new")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            os.replace(new, self.path)


def check_training(recipe: Recipe, variants: Sequence[Variant], settings: Settings) -> None:
    """Check everything that does not depend on data, before data are read.

    Raises:
        InputError: A strength out of the range of its loss, a device that this machine lacks, or
            a precision that it does not support.
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
    """Return the trained network on the CPU; resume from `folder` if training had begun.

    Args:
        recipe: The experiment.
        parts: Data of the same seed.
        variant: Loss and strength.
        seed: Seed of initialisation, batches, augmentation and dropout, the same for all losses.
        folder: Folder of this model.
        settings: The same settings as in earlier sessions.

    Raises:
        InputError: A checkpoint that cannot be read, or a batch that processes cannot share.
        KeyboardInterrupt: Ctrl-C; the same call resumes after the last whole epoch.
        SystemExit: SIGTERM, with code 143; likewise.
    """
    network = initial(recipe, parts, seed)
    if (folder / WEIGHTS).exists():
        _drop_checkpoints(folder)
        return with_weights(network, folder / WEIGHTS)
    criterion = loss_of(variant, recipe.output, parts.ignore_index)
    training = Training(recipe, network, criterion, parts.train, seed=seed, settings=settings)
    folder.mkdir(parents=True, exist_ok=True)
    begun = _begun(folder / CHECKPOINT, training)
    with _quietly():
        trainer = _trainer(folder, settings, begun)
        _fit(trainer, training, folder / CHECKPOINT if begun.steps else None)
        if trainer.is_global_zero:
            save_weights(network, folder / WEIGHTS, seconds=begun.so_far())
            _drop_checkpoints(folder)
        trainer.strategy.barrier()
    return network.cpu()


def seconds_of(folder: Path) -> float | None:
    """Return the training time of a finished model; None if it was not recorded."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        seconds = (file.metadata() or {}).get(SECONDS)
    return None if seconds is None else float(seconds)


def trained(recipe: Recipe, parts: Parts, folder: Path) -> torch.nn.Module:
    """Return the network of a finished model."""
    return with_weights(initial(recipe, parts, 0), folder / WEIGHTS)


def initial(recipe: Recipe, parts: Parts, seed: int) -> torch.nn.Module:
    """Return the untrained network, the same for every loss; the global generator is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = recipe.network(parts)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    return network


def save_weights(network: torch.nn.Module, path: Path, *, seconds: float) -> None:
    """Write safetensors, atomically, with the training time as metadata."""
    from safetensors.torch import save_file

    from recuse._internal.files import atomic

    with atomic(path) as temporary:
        tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
        save_file(tensors, temporary, metadata={SECONDS: str(seconds)})


def with_weights(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Load weights into the network and return it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise InputError(f"{path}: expected weights of this recipe's network ({detail})") from error
    return network


def _drop_checkpoints(folder: Path) -> None:
    """Delete the checkpoint of a finished model, and files of sessions killed while writing one."""
    stem, ending = CHECKPOINT.split(".")
    for path in (folder / f"{stem}.{ending}", *folder.glob(f"{stem}.*.new")):
        path.unlink(missing_ok=True)


def _trainer(folder: Path, settings: Settings, begun: _Begun) -> Any:
    callbacks: list[Any] = [_Checkpoint(folder / CHECKPOINT, begun)]
    if settings.progress:
        bar = lightning.callbacks.RichProgressBar
        callbacks.append(bar(leave=False, console_kwargs={"stderr": True}))
    return lightning.Trainer(
        **_machine(settings),
        max_epochs=settings.epochs,
        callbacks=callbacks,
        logger=_loggers(folder, settings, begun.steps),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )


def _machine(settings: Settings) -> dict[str, Any]:
    """Return the options of Lightning about hardware.

    Processes are spawned, unless `torchrun` has started them.
    """
    several = "ddp" if started() else "ddp_spawn"
    return {
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "strategy": "auto" if settings.devices == 1 else several,
        "precision": settings.precision,
    }


def _loggers(folder: Path, settings: Settings, steps: int) -> list[Any]:
    """Return one log for each model, however many sessions it took."""
    loggers = [_csv_log(folder, steps)]
    if settings.tensorboard:
        extra("tensorboard", "tensorboard", "--tensorboard")
        loggers.append(lightning.loggers.TensorBoardLogger(folder, name=LOG, version=0))
    return loggers


def _csv_log(folder: Path, steps: int) -> Any:
    """Continue the log after the steps that are done; later rows are logged again.

    Lightning's logger deletes an existing file, so its rows are read first.
    """
    logger = lightning.loggers.CSVLogger(folder, LOG, version=0, flush_logs_every_n_steps=50)
    path = Path(logger.log_dir) / "metrics.csv"
    if is_helper() or not path.exists():
        return logger
    with path.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["step"]) < steps]
    for row in rows:
        logger.experiment.log_metrics({"loss": float(row["loss"])}, int(row["step"]))
    logger.save()
    return logger


def _fit(trainer: Any, training: Training, checkpoint: Path | None) -> None:
    """Train to the end, with the usual exits on Ctrl-C and SIGTERM.

    Lightning turns the first into an exit with code 1, the second into one with code 0.
    """
    others = active_children()
    try:
        trainer.fit(training, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as end:
        _kill_processes(others)
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise SystemExit(TERMINATED) from None
    if trainer.state.status != "finished":
        raise RuntimeError(f"expected a finished training, got one that is {trainer.state.status}")


def _kill_processes(others: Sequence[BaseProcess]) -> None:
    """Kill the processes that share the batches, or Python would wait for their last epoch."""
    for process in active_children():
        if process not in others:
            process.kill()


def _begun(checkpoint: Path, training: Training) -> _Begun:
    """Read the progress from the checkpoint, if there is one."""
    since = time.perf_counter()
    if not checkpoint.exists():
        return _Begun(0, 0.0, since)
    state = _readable(checkpoint, training)
    return _Begun(state["global_step"], state.get(SECONDS, 0.0), since)


def _readable(checkpoint: Path, training: Training) -> dict[str, Any]:
    """Load the checkpoint if it holds only tensors and numbers, and belongs to this network."""
    try:
        state = torch.load(checkpoint, weights_only=True)
        fits = state["state_dict"].keys() == training.state_dict().keys()
    except Exception as error:  # a broken checkpoint raises errors of many kinds
        raise InputError(
            f"{checkpoint}: expected a checkpoint of weights, got something else "
            f"({type(error).__name__}): delete it to begin this model again"
        ) from error
    if not fits:
        raise InputError(
            f"{checkpoint}: expected a checkpoint of this recipe's network, got another one: "
            "delete it to begin this model again"
        )
    return state


@contextmanager
def _quietly() -> Generator[None]:
    """Silence what Lightning says about the machine."""
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
