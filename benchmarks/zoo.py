"""Train real classifiers with and without label smoothing: `python -m benchmarks.zoo`.

The M models of a task, one for each smoothing, are trained side by side from the same
initialisation on the same batches. Writes their logits to `TASK-SMOOTHING-SEED-tune.safetensors`
and `-test.safetensors` in the given folder, and skips a task whose files exist. Of road scenes
these hold a sample of pixels; `-tune-scenes` and `-test-scenes` hold all of them.

M = models, n = rows, d = inputs, b = batch, K = classes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import recuse as rc
from recuse.recipes._side_by_side import forward, initial, train_side_by_side
from recuse.recipes.data import camvid, cifar, tables
from recuse.recipes.networks import conv

SMOOTHINGS = (0.0, 0.1, 0.2, 0.3)
TUNE, TEST = 5000, 20000  # rows at most
NOISE = 0.3  # standard deviation on half of the held-out pairs of digits; pixels lie in 0..1


class Rows(NamedTuple):
    """Inputs (n, ...), labels, and groups of dependent rows, if any."""

    x: torch.Tensor
    y: torch.Tensor
    groups: np.ndarray | None = None


class Task(NamedTuple):
    """Three disjoint parts of one data set, and how to train on it."""

    train: Rows
    tune: Rows
    test: Rows
    classes: int
    widths: tuple[int, ...] = (256, 256)  # of the hidden layers
    epochs: int = 20
    lr: float = 1e-3


def digit_pairs(seed: int, left: range, right: range) -> Task:
    """Make pairs of digits; clean in training, half of the held-out rows noisy.

    Tuning and test rows are drawn independently from the same held-out images. Two disjoint sets of
    images would be two populations, with crosswise dependence among the rows of each.
    """
    train, held, images, labels = digit_pools(seed)
    rng = np.random.default_rng(seed)
    parts = []
    for pool, n in ((train, 20000), (held, TUNE), (held, TEST)):
        a = rng.choice(pool[np.isin(labels[pool], left)], n)
        b = rng.choice(pool[np.isin(labels[pool], right)], n)
        x = np.concatenate([images[a], images[b]], axis=1)
        y = (labels[a] - left[0]) * len(right) + labels[b] - right[0]
        parts.append(rows(x if pool is train else half_noisy(x, rng), y))
    return Task(*parts, len(left) * len(right), (512, 512), 30)


def single_digits(seed: int, name: Callable[[np.ndarray], np.ndarray], classes: int) -> Task:
    """Make single digits; clean in training, half of the held-out rows noisy; images are groups."""
    train, held, images, labels = digit_pools(seed)
    rng = np.random.default_rng(seed)
    parts = [rows(images[train], name(labels[train]))]
    for pool, n in ((held[:400], TUNE), (held[400:], TEST)):
        a = rng.permutation(np.resize(pool, n))
        parts.append(rows(half_noisy(images[a], rng), name(labels[a]), a))
    return Task(*parts, classes, epochs=100)


def digit_pools(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return numbers of training and of held-out images, all images with pixels in 0..1, labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    return order[:600], order[600:], data.data / 16, data.target


def half_noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise to half of the rows."""
    return x + (rng.random((len(x), 1)) < 0.5) * NOISE * rng.standard_normal(x.shape)


def table(data: Path, name: str, target: str, seed: int) -> Task:
    """Predict one column of a table from the others; a fifth of the rows for training."""
    columns = tables.read(data / "tabular" / name)
    names, y = np.unique(columns.pop(target), return_inverse=True)
    if target in ("y", "Revenue"):
        columns.pop("duration", None)  # known only after the call
    order = np.random.default_rng(seed).permutation(len(y))
    cuts = [len(y) // 5, len(y) // 5 + min(TUNE, len(y) * 2 // 5)]
    train = order[: cuts[0]]
    x = np.concatenate([encoded(column, train) for column in columns.values()], axis=1)
    d = x.shape[1]
    parts = [rows(x[i], y[i]) for i in np.split(order, cuts)]
    return Task(*parts, len(names), (4 * d, 2 * d), 30)


def encoded(column: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardise log-scaled numbers by the training rows; one-hot encode categories."""
    try:
        value = column.astype(np.float64)
    except ValueError:
        return (column[:, None] == np.unique(column)).astype(np.float64)
    value = np.sign(value) * np.log1p(np.abs(value))
    return ((value - value[train].mean()) / (value[train].std() + 1e-9))[:, None]


def cifar_images(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return 60,000 images (n, 3, 32, 32) in 0..1, the test images first, and labels."""
    train, test, _ = cifar.source(data / "cifar10")
    images = np.concatenate([test.x, train.x])
    return images.astype(np.float32) / 255, np.concatenate([test.y, train.y])


def cifar_patches(data: Path, seed: int) -> Task:
    """Make CIFAR-10 as 2,048 features of random whitened patches (Coates & Ng, 2011)."""
    images, y = cifar_images(data)
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(images)
    i, r, c = rng.integers(len(z), size=20000), *rng.integers(27, size=(2, 20000))
    patches = torch.stack([z[a, :, b : b + 6, d : d + 6].flatten() for a, b, d in zip(i, r, c)])
    patches = patches - patches.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T) + 1e-2 * torch.eye(108))
    whiten = vectors @ torch.diag(values**-0.5) @ vectors.T
    chosen = patches[:512] @ whiten
    filters = (chosen / chosen.norm(dim=1, keepdim=True)) @ whiten
    filters = (filters - filters.mean(1, keepdim=True)).reshape(512, 3, 6, 6)
    features = []
    for batch in z.split(500):
        seen = torch.nn.functional.conv2d(batch, filters, stride=2).relu()
        features.append(torch.nn.functional.adaptive_avg_pool2d(seen, 2).flatten(1))
    x = torch.cat(features).numpy()
    order = rng.permutation(len(y))
    cuts = (20000, 20000 + TUNE, 20000 + TUNE + TEST)
    train = order[: cuts[0]]
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
    parts = [rows(x[i], y[i]) for i in np.split(order, cuts)[:3]]
    return Task(*parts, 10, (256,), 15)


def rows(x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> Rows:
    """Turn arrays into tensors."""
    return Rows(torch.tensor(x, dtype=torch.float32), torch.tensor(y), groups)


def train_mlps(task: Task, seed: int) -> list[torch.Tensor]:
    """Return the parameters of M MLPs, one for each smoothing."""
    rng = torch.Generator().manual_seed(seed)
    widths = (task.train.x.shape[1], *task.widths, task.classes)
    params = initial(len(SMOOTHINGS), rng, widths)
    optimizer = torch.optim.AdamW(params, lr=task.lr, weight_decay=1e-4, fused=True)
    x, y = task.train.x, task.train.y
    orders = (torch.randperm(len(y), generator=rng) for _ in range(task.epochs))
    batches = ((x[i], y[i]) for order in orders for i in order.split(128))
    train_side_by_side(partial(forward, params), batches, SMOOTHINGS, optimizer)
    return params


def save_mlps(task: Task, seed: int, name: str, out: Path) -> None:
    """Train, and save the logits of the tuning and test rows."""
    params = train_mlps(task, seed)
    for part in ("tune", "test"):
        data = getattr(task, part)
        with torch.no_grad():
            z = torch.cat([forward(params, x) for x in data.x.split(1000)], dim=1)
        save(z.numpy(), data.y.numpy(), data.groups, f"{name}-{{}}-{seed}-{part}", out)


def save(
    z: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    name: str,
    out: Path,
    ignore_index: int | None = None,
) -> None:
    """Write one file for each smoothing."""
    for z_m, smoothing in zip(z, SMOOTHINGS):
        path = out / f"{name.format(smoothing)}.safetensors"
        rc.write_logits(path, z_m, y, groups=groups, ignore_index=ignore_index)


def stacked(make: Callable[[], torch.nn.Module]) -> torch.nn.ModuleList:
    """Make one network for each smoothing, from the same initialisation."""
    models = torch.nn.ModuleList(make() for _ in SMOOTHINGS)
    for model in models[1:]:
        model.load_state_dict(models[0].state_dict())
    return models


def save_networks(
    make: Callable[[], torch.nn.Module],
    parts: tuple[Rows, Rows, Rows],
    seed: int,
    name: str,
    out: Path,
    *,
    epochs: int,
    batch: int,
) -> None:
    """Train small convolutional networks with horizontal flips, SGD and one cycle."""
    torch.manual_seed(seed)
    models = stacked(make).to(memory_format=torch.channels_last)
    train = parts[0]
    steps = epochs * -(-len(train.y) // batch)
    optimizer = torch.optim.SGD(models.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=max(steps, 21))
    train_side_by_side(
        lambda x: [model(x) for model in models],
        flipped(train, epochs, batch),
        SMOOTHINGS,
        optimizer,
        schedule,
        ignore_index=camvid.VOID,
    )
    models.eval()
    for data, part in zip(parts[1:], ("tune", "test")):
        with torch.no_grad():
            z = torch.stack([torch.cat([m(x) for x in data.x.split(50)]) for m in models]).numpy()
        if data.y.ndim == 1:
            save(z, data.y.numpy(), data.groups, f"{name}-{{}}-{seed}-{part}", out)
        else:
            save(*pixels(z, data.y.numpy(), seed), f"{name}-{{}}-{seed}-{part}", out)
            z = z.astype(np.float16)  # for the size of the file
            name_of = f"{name}-{{}}-{seed}-{part}-scenes"
            save(z, data.y.numpy(), data.groups, name_of, out, ignore_index=camvid.VOID)


def flipped(train: Rows, epochs: int, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of all epochs, half of them mirrored."""
    for _ in range(epochs):
        for i in torch.randperm(len(train.y)).split(batch):
            x, y = train.x[i], train.y[i]
            if torch.rand(()) < 0.5:
                x, y = x.flip(-1), (y.flip(-1) if y.ndim > 1 else y)
            yield x.contiguous(memory_format=torch.channels_last), y


def pixels(z: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample 200 labelled pixels of each scene, the same for every model; a scene is a group."""
    rng = np.random.default_rng(seed)
    scene, spot = [], []
    for i, labels in enumerate(y.reshape(len(y), -1)):
        spot.append(rng.choice(np.flatnonzero(labels != camvid.VOID), 200, replace=False))
        scene.append(np.full(200, i))
    n, i = np.concatenate(scene), np.concatenate(spot)
    return z.reshape(*z.shape[:3], -1)[:, n, :, i].swapaxes(0, 1), y.reshape(len(y), -1)[n, i], n


def camvid_network() -> torch.nn.Module:
    """Return six convolutions at a quarter of the resolution, then bilinear interpolation."""
    return torch.nn.Sequential(
        conv(3, 16, stride=2), conv(16, 32, stride=2), conv(32, 64), conv(64, 64, dilation=2),
        conv(64, 64, dilation=4), torch.nn.Conv2d(64, 11, 1),
        torch.nn.Upsample((180, 240), mode="bilinear"),
    )  # fmt: skip


def camvid_parts(data: Path, seed: int) -> tuple[Rows, Rows, Rows]:
    """Read the road scenes of the folders train, val and test; a second of a video is a group."""

    def part(name: str) -> Rows:
        frames = camvid.frames(data / "camvid" / name)
        x, y = camvid.read(frames)
        seconds = sorted({(f.video, f.number // camvid.RATE) for f in frames})
        groups = np.array([seconds.index((f.video, f.number // camvid.RATE)) for f in frames])
        return rows(x.numpy() / 255 - 0.5, y.numpy().astype(np.int64), groups)

    return part("train"), part("val"), part("test")


def tasks(data: Path) -> dict[str, Callable[[int, str, Path], None]]:
    """Return name -> function that trains and saves the task."""
    ten, five = range(10), range(5)
    makers: dict[str, Callable[[int], Task]] = {
        "parity": lambda s: single_digits(s, lambda y: y % 2, 2),
        "digits": lambda s: single_digits(s, lambda y: y, 10),
        "pairs25": lambda s: digit_pairs(s, five, range(5, 10)),
        "pairs100": lambda s: digit_pairs(s, ten, ten),
        "bank": lambda s: table(data, "bank-full.csv", "y", s),
        "bank-education": lambda s: table(data, "bank-full.csv", "education", s),
        "bank-month": lambda s: table(data, "bank-full.csv", "month", s),
        "bank-job": lambda s: table(data, "bank-full.csv", "job", s),
        "shoppers": lambda s: table(data, "online_shoppers_intention.csv", "Revenue", s),
        "shoppers-traffic": lambda s: table(
            data, "online_shoppers_intention.csv", "TrafficType", s
        ),
        "cifar10-patches": lambda s: cifar_patches(data, s),
    }
    found = {
        name: lambda seed, name, out, make=make: save_mlps(make(seed), seed, name, out)
        for name, make in makers.items()
    }
    found["camvid"] = lambda seed, name, out: save_networks(
        camvid_network, camvid_parts(data, seed), seed, name, out, epochs=30, batch=8
    )
    return found


def main() -> None:
    """Train the tasks whose files are missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=None)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    known = tasks(args.data)
    for seed in args.seeds:
        for name in args.tasks or known:
            if (args.out / f"{name}-{SMOOTHINGS[-1]}-{seed}-test.safetensors").exists():
                continue
            start = time.perf_counter()
            known[name](seed, name, args.out)
            print(f"{name} {seed}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
