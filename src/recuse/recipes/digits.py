"""The demo's training run: noisy handwritten digits, a small MLP, paired smoothings.

Data: the 1,797 images (8 x 8, 10 classes) inside scikit-learn. Every image gets noise of a
strength of its own, drawn anew at each training step, so that some are easy, some hopeless.

M = models trained side by side (one per smoothing), n = rows, b = batch.
    x (b, 64) pixels in 0..1 plus noise    w (M, in, out), bias (M, 1, out)
    h (M, b, 256) hidden                   z (M, b, 10) logits
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal import check

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float32, Int64

TRAIN, TUNE, CALIBRATE = 600, 200, 200  # images; the other 797 are the test split
REPLICATES = 20  # noisy copies of each held-out image: with 5 the repair is seldom significant
NOISE = 0.75  # the largest standard deviation of the noise; pixels lie in 0..1
WIDTHS, BATCH, STEPS = (64, 256, 256, 10), 32, 1500
LR, WEIGHT_DECAY, WARMUP = 5e-3, 1e-4, 0.05  # AdamW, one cycle; warm-up is a share of the steps


class Split(NamedTuple):
    """One model's predictions on one split; replicates of an image share its group."""

    logits: Float32[np.ndarray, "n 10"]
    labels: Int64[np.ndarray, " n"]
    groups: Int64[np.ndarray, " n"]  # source image, 0..1796: rows of one group are dependent
    ids: Int64[np.ndarray, " n"]  # image * REPLICATES + replicate


def train(
    seed: int,
    smoothings: Sequence[float] = (0.0, 0.2),
    *,
    steps: int = STEPS,
    on_step: Callable[[], None] | None = None,
) -> dict[float, dict[str, Split]]:
    """Train one model per smoothing: same split, initialisation, batches and noise.

    The models are stacked into batched matrix products and share one optimizer, which
    works element by element: each is trained as if alone, up to rounding.

    Args:
        seed: Of the split, the noise, the initialisation and the batches.
        smoothings: Label smoothing of each model; 0 is plain cross entropy.
        steps: Training steps; 1,500 take 5 to 7 s on one core for two models.
        on_step: Called after each step, for a progress bar.

    Returns:
        `[smoothing][name]` for the names "tune", "calibrate" and "test". Rows are ordered
        by image; `ids % REPLICATES == 0` keeps one row per image, which are independent.

    Raises:
        MissingExtraError: torch or scikit-learn is not installed.

    >>> run = train(0, (0.0, 0.2), steps=30)
    >>> [(name, len(split.labels)) for name, split in run[0.2].items()]
    [('tune', 4000), ('calibrate', 4000), ('test', 15940)]
    """
    torch = check.extra("torch", "train", "the digits recipe")
    digits = check.extra("sklearn.datasets", "train", "the digits recipe").load_digits()
    from recuse.losses import smoothed_cross_entropy

    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    rng = torch.Generator().manual_seed(seed)
    with one_thread(torch):
        order = torch.randperm(len(images), generator=rng)
        rest = order[TRAIN:].repeat_interleave(REPLICATES)
        x_rest = noisy(images[rest], rng)
        params = initial(len(smoothings), rng)
        optimizer = torch.optim.AdamW(params, lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=LR, total_steps=max(steps, 21), pct_start=WARMUP
        )  # torch divides by WARMUP * total_steps - 1
        for _ in range(steps):
            batch = order[torch.randint(TRAIN, (BATCH,), generator=rng)]
            z = forward(params, noisy(images[batch], rng))
            y = labels[batch]
            losses = [smoothed_cross_entropy(z_m, y, a) for z_m, a in zip(z, smoothings)]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
            schedule.step()
            if on_step:
                on_step()
        with torch.no_grad():
            z = forward(params, x_rest).numpy()
    image, label = rest.numpy(), labels[rest].numpy()
    ids = image * REPLICATES + np.arange(len(image)) % REPLICATES
    cuts = np.array([TUNE, TUNE + CALIBRATE]) * REPLICATES
    parts = {
        a: map(Split, *(np.split(column, cuts) for column in (z_m, label, image, ids)))
        for a, z_m in zip(smoothings, z)
    }
    return {a: dict(zip(("tune", "calibrate", "test"), splits)) for a, splits in parts.items()}


def noisy(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """x + s * eps with one s ~ U(0, NOISE) a row and eps ~ N(0, 1) a pixel."""
    import torch

    s = NOISE * torch.rand(len(x), 1, generator=rng)
    return x + s * torch.randn(x.shape, generator=rng)


def initial(
    models: int, rng: torch.Generator, widths: Sequence[int] = WIDTHS
) -> list[torch.Tensor]:
    """w and bias of each layer ~ U(-1, 1) / sqrt(in), as in nn.Linear, the same in every model."""
    import torch

    params = []
    for fan_in, fan_out in pairwise(widths):
        for shape in ((1, fan_in, fan_out), (1, 1, fan_out)):
            u = 2 * torch.rand(shape, generator=rng) - 1
            params.append((u / fan_in**0.5).repeat(models, 1, 1).requires_grad_())
    return params


def forward(params: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits (M, b, 10) of every model at the same x (b, 64)."""
    import torch

    h = x.expand(len(params[0]), *x.shape)
    for w, bias in zip(params[:-2:2], params[1:-2:2]):
        h = torch.baddbmm(bias, h, w).relu()
    return torch.baddbmm(params[-1], h, params[-2])


@contextmanager
def one_thread(torch: ModuleType) -> Generator[None]:
    """Run torch on one thread: less CPU time at these sizes, and no dependence on the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
