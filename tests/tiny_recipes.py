"""Recipes of a second, for tests of the trainer; at module level, as processes need them."""

import numpy as np
import torch
from torch import nn

from recuse.recipes import Recipe
from recuse.recipes._recipe import PIXELS, cosine
from recuse.recipes.data import Part, Parts, Rows

CLASSES = 4


def blobs(folder, *, seed, label_noise=0.0):
    """Four clouds of points that overlap: 256 to train, 120 of each held-out part."""
    rng = np.random.default_rng(seed)
    y = rng.integers(CLASSES, size=256 + 3 * 120)
    x = torch.tensor(2 * np.eye(8)[y] + rng.normal(size=(y.size, 8)), dtype=torch.float32)
    y = torch.tensor(y)
    parts = []
    for rows in np.split(np.arange(len(y)), np.array([256, 376, 496])):
        parts.append(Part(Rows(x[rows], y[rows]), ids=rows))
    return Parts(*parts, CLASSES, tuple("abcd"))


def jittered(folder, *, seed):
    """The same with noise on training rows, which a stamp draws."""
    parts = blobs(folder, seed=seed)
    data = parts.train.data
    return parts._replace(train=Part(Rows(data.x, data.y, augment=jitter)))


def jitter(x, y, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator), y


def scenes(folder, *, seed):
    """Images of 6 x 4 pixels, three classes, every fifth pixel void."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=(24, 6, 4))
    x = np.eye(3)[y].transpose(0, 3, 1, 2) + 0.7 * rng.normal(size=(24, 3, 6, 4))
    y = np.where(np.arange(24).reshape(6, 4) % 5 == 0, 11, y)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    parts = [Part(Rows(x[i : i + 6], y[i : i + 6])) for i in range(0, 24, 6)]
    return Parts(*parts, 3, tuple("abc"), ignore_index=11)


def network(parts):
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES))


def without_dropout(parts):
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def one_logit(parts):
    return nn.Linear(8, 1)


def pixelwise(parts):
    return nn.Conv2d(3, parts.classes, 1)


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def tiny(**changes):
    fields = {
        "name": "blobs",
        "title": "MLP on blobs",
        "data": "",
        "load": jittered,
        "network": network,
        "optimizer": optimizer,
        "schedule": cosine,
        "epochs": 3,
        "batch": 32,
        "cost": "a second",
        "reference": "none",
        "source": "a test",
    }
    return Recipe(**(fields | changes))


BLOBS = tiny()
EVEN = tiny(name="even", load=blobs, network=without_dropout)
SCENES = tiny(
    name="scenes", load=scenes, network=pixelwise, output=PIXELS, batch=2, pixels_per_image=10
)
