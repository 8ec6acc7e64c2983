"""IMDB, an LSTM with one logit. Settings of the public code of the ICLR version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recuse.recipes._recipe import (
    BINARY,
    WHOLE_BATCHES,
    Recipe,
    constant,
    load_data,
    torch_optimizer,
)

if TYPE_CHECKING:
    from torch import nn

    from recuse.recipes.data import Parts


def network(parts: Parts) -> nn.Module:
    """LSTM with an MLP over its last state."""
    from recuse.recipes.data.imdb import Texts
    from recuse.recipes.networks import lstm

    texts = parts.train.data
    assert isinstance(texts, Texts)
    return lstm(len(texts.vocabulary))


RECIPE = Recipe(
    name="imdb-lstm",
    title="LSTM on IMDB reviews, one logit",
    data="IMDB, train/pos, train/neg, test/pos, test/neg",
    load=partial(load_data, source="imdb.load"),  # the first 256 words of each review
    network=network,
    optimizer=partial(torch_optimizer, name="Adam", lr=1e-3),
    schedule=constant,
    epochs=10,
    batch=64,
    cost="not measured",
    reference="none: figures of the ICLR 2025 version",
    source="public code of the ICLR 2025 version",
    differs=(
        "the embedding is learned instead of GloVe; the state is read at the last word instead of "
        "after the padding; 5,000 training reviews are held out to tune and calibrate; "
        + WHOLE_BATCHES
    ),
    smoothings=(0.0, 0.2, 0.4, 0.6),
    output=BINARY,
)
