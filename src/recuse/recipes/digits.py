"""Training of the demo: noisy handwritten digits, small MLPs side by side, paired smoothings.

The data are the 1,797 images (8 x 8, 10 classes) inside scikit-learn. The noise of an image has a
strength of its own, drawn anew at each training step: some images are easy, some hopeless.

n = rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import extra

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float32, Int64

TRAIN, TUNE, CALIBRATE = 600, 200, 200  # images; the other 797 are the test split
REPLICATES = 10  # noisy copies of each held-out image: with 5 a repair is missed in 4 of 20 seeds
NOISE = 0.75  # the largest standard deviation of the noise; pixels lie in 0..1
WIDTHS, BATCH, STEPS = (64, 256, 256, 10), 32, 1500
LR, WEIGHT_DECAY, WARMUP = 5e-3, 1e-4, 0.05  # AdamW, one cycle; warm-up is a share of the steps


class Split(NamedTuple):
    """Predictions of one model on one split; the noisy copies of an image share its group."""

    logits: Float32[np.ndarray, "n 10"]
    labels: Int64[np.ndarray, " n"]
    groups: Int64[np.ndarray, " n"]  # source image, 0..1796: rows of one group are dependent
    ids: Int64[np.ndarray, " n"]  # image * REPLICATES + copy


def train(
    seed: int,
    smoothings: Sequence[float] = (0.0, 0.2),
    *,
    steps: int = STEPS,
    on_step: Callable[[], None] | None = None,
) -> dict[float, dict[str, Split]]:
    """Train one model per smoothing on the same split, initialisation, batches and noise.

    The models are stacked into batched matrix products and share one optimizer, which works
    element by element: each is trained as if alone, up to rounding.

    Args:
        seed: Seed of the split, the noise, the initialisation and the batches.
        smoothings: Label smoothing of each model; 0 is plain cross entropy.
        steps: Training steps; 1,500 take 5 to 7 s on one core for two models.
        on_step: Called after each step, for a progress bar.

    Returns:
        `[smoothing][name]` for the names "tune", "calibrate" and "test". Rows are ordered by
        image; `ids % REPLICATES == 0` keeps one row per image, and these rows are independent.

    Raises:
        MissingExtraError: torch or scikit-learn is not installed.

    >>> run = train(0, (0.0, 0.2), steps=30)
    >>> [(name, len(split.labels)) for name, split in run[0.2].items()]
    [('tune', 2000), ('calibrate', 2000), ('test', 7970)]
    """
    torch = extra("torch", "train", "the digits recipe")
    images, labels = load_images()
    from recuse.recipes._side_by_side import forward, initial, one_thread, train_side_by_side

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in range(steps):
            batch = order[torch.randint(TRAIN, (BATCH,), generator=rng)]
            yield noisy(images[batch], rng), labels[batch]
            if on_step:
                on_step()

    rng = torch.Generator().manual_seed(seed)
    with one_thread():
        order = torch.randperm(len(images), generator=rng)
        params = initial(len(smoothings), rng, WIDTHS)
        optimizer = torch.optim.AdamW(params, lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=LR, total_steps=max(steps, 21), pct_start=WARMUP
        )  # torch divides by WARMUP * total_steps - 1
        train_side_by_side(partial(forward, params), batches(), smoothings, optimizer, schedule)
        rest = order[TRAIN:].repeat_interleave(REPLICATES)
        with torch.no_grad():
            z = forward(params, noisy(images[rest], rng)).numpy()
    image, label = rest.numpy(), labels[rest].numpy()
    ids = image * REPLICATES + np.arange(len(image)) % REPLICATES
    cuts = np.array([TUNE, TUNE + CALIBRATE]) * REPLICATES
    parts = {
        a: map(Split, *(np.split(column, cuts) for column in (z_m, label, image, ids)))
        for a, z_m in zip(smoothings, z)
    }
    return {a: dict(zip(("tune", "calibrate", "test"), splits)) for a, splits in parts.items()}


def load_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images (1797, 64), pixels in 0..1, and their labels."""
    import torch

    digits = extra("sklearn.datasets", "train", "the digits recipe").load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    return images, torch.tensor(digits.target, dtype=torch.int64)


def noisy(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Return x + s * eps with one s ~ U(0, NOISE) per row and eps ~ N(0, 1) per pixel."""
    import torch

    s = NOISE * torch.rand(len(x), 1, generator=rng)
    return x + s * torch.randn(x.shape, generator=rng)
