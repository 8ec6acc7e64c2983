"""LSTM for texts: tokens (n, t) -> one logit (n, 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

PADDING = 0  # token; it fills the end of a text


def lstm(vocabulary: int, *, embedding: int = 300, hidden: int = 256) -> LSTM:
    """One LSTM layer and a perceptron of three layers over its state at the last word.

    Sizes and dropout are those of the published experiment on IMDB, which reads vectors of GloVe
    where this one learns its embedding, and the state behind the padding where this one masks it.

    Args:
        vocabulary: Number of tokens; 0 is padding.
        embedding: Width of a token's vector.
        hidden: Width of the state.

    References:
        Hochreiter & Schmidhuber, Neural Computation 1997; Xia et al., ICLR 2025 (IMDB).

    >>> tokens = torch.tensor([[5, 7, 0, 0], [2, 3, 4, 5]])
    >>> lstm(10)(tokens).shape
    torch.Size([2, 1])
    """
    return LSTM(vocabulary, embedding, hidden)


class LSTM(nn.Module):
    """The network of `lstm`."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PADDING)
        self.recurrent = nn.LSTM(embedding, hidden, batch_first=True)
        self.head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(hidden, 256), nn.ReLU(),
            nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, 1),
        )  # fmt: skip

    def forward(self, tokens: Int64[Tensor, "n t"]) -> Float32[Tensor, "n 1"]:
        """The logit of each text."""
        length = (tokens != PADDING).sum(1).clamp_min(1)
        seen = tokens[:, : int(length.max())]  # the end is padding in every text
        states, _ = self.recurrent(self.embedding(seen))
        return self.head(states[torch.arange(len(tokens)), length - 1])
