"""`train_model`: one model to its last epoch, through any number of interruptions.

The folder of a model holds `last.ckpt` while it trains (every epoch, read back with weights only)
and `model.safetensors` when it is done, with the seconds that all its sessions took.
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
from recuse.recipes._losses import Variant, loss_of
from recuse.recipes._module import Training
from recuse.recipes._recipe import Recipe
from recuse.recipes._settings import TERMINATED, Settings, is_helper, started
from recuse.recipes.data import Parts

torch = extra("torch", "train", "the training recipes")
lightning = extra("lightning.pytorch", "train", "the training recipes")

CHECKPOINT, WEIGHTS, LOG = "last.ckpt", "model.safetensors", "log"
SECONDS = "seconds"  # of training, in checkpoints and in the metadata of weights


class _Begun(NamedTuple):
    """How far the training of a model had come when this session took it up."""

    steps: int
    seconds: float
    since: float  # when this session did, by the clock that all processes share

    def so_far(self) -> float:
        """Seconds of all sessions."""
        return self.seconds + time.perf_counter() - self.since


class _Checkpoint(lightning.Callback):
    """Every epoch's end, so that a kill at any moment leaves a whole checkpoint."""

    def __init__(self, path: Path, begun: _Begun):
        self.path, self.begun = path, begun

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict) -> None:
        """What the sessions took so far."""
        checkpoint[SECONDS] = self.begun.so_far()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write beside it, by a name that no other process has, then take its place."""
        new = self.path.with_suffix(f".{os.getpid()}.new")
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
        KeyboardInterrupt: Ctrl-C; the same call goes on after the last whole epoch.
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
    """What the training of a finished model took; None if it was not kept."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        seconds = (file.metadata() or {}).get(SECONDS)
    return None if seconds is None else float(seconds)


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


def save_weights(network: torch.nn.Module, path: Path, *, seconds: float) -> None:
    """As safetensors, whole or not at all; with the seconds that the training took."""
    from safetensors.torch import save_file

    from recuse._internal.files import atomic

    with atomic(path) as temporary:
        tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
        save_file(tensors, temporary, metadata={SECONDS: str(seconds)})


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


def _drop_checkpoints(folder: Path) -> None:
    """Of a finished model, and what was killed while it wrote one."""
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
    return "ddp" if started() else "ddp_spawn"


def _loggers(folder: Path, settings: Settings, steps: int) -> list[Any]:
    """One log a model, whatever number of sessions it took."""
    loggers = [_csv_log(folder, steps)]
    if settings.tensorboard:
        extra("tensorboard", "tensorboard", "--tensorboard")
        loggers.append(lightning.loggers.TensorBoardLogger(folder, name=LOG, version=0))
    return loggers


def _csv_log(folder: Path, steps: int) -> Any:
    """Goes on behind the steps that are done; what was logged of later ones comes again.

    Lightning's logger deletes the file that is there.
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
    """Train to the end; Ctrl-C and SIGTERM end as they do in any program.

    Lightning makes the one an exit with 1, the other one with 0.
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
    """Those that share the batches, not others: Python would wait for their last epoch."""
    for process in active_children():
        if process not in others:
            process.kill()


def _begun(checkpoint: Path, training: Training) -> _Begun:
    """What the checkpoint says, if there is one."""
    since = time.perf_counter()
    if not checkpoint.exists():
        return _Begun(0, 0.0, since)
    state = _readable(checkpoint, training)
    return _Begun(state["global_step"], state.get(SECONDS, 0.0), since)


def _readable(checkpoint: Path, training: Training) -> dict[str, Any]:
    """Tensors and numbers alone, of this network; an error of training is another thing."""
    try:
        state = torch.load(checkpoint, weights_only=True)
        fits = state["state_dict"].keys() == training.state_dict().keys()
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
    return state


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
