"""Counts of the last predictions, with the labels that came for them.

b = rows that come together, k = blocks of `BLOCK` predictions, the last `BLOCKS` of which are kept.

A place tells where a prediction stands among those that labels may come for: the number of its
unit, or of accepted predictions before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array

BLOCK, BLOCKS = 100, 10
START, COUNTS = 0, slice(1, 5)  # columns: first place; predictions, accepted, labelled, errors


class Recent:
    """The last 1,000 predictions, or somewhat fewer."""

    def __init__(self, n: int = 0, blocks: list[list[int]] | None = None):
        self.n = n  # predictions so far
        self.blocks = np.array(blocks or [], np.int64).reshape(-1, 5)

    def add(
        self,
        start: Int[Array, " b"],
        accepted: Int[Array, " b"],
        unit: Int[Array, " b"] | None = None,
    ) -> None:
        """Add predictions in their order.

        Args:
            start: Places that were taken before the row came.
            accepted: 0 or 1.
            unit: Of each row, where rows of one unit count together.
        """
        block = (self.n + np.arange(start.size)) // BLOCK
        held = (self.n - 1) // BLOCK  # the last one so far; -1: none
        new, at = np.unique(block[block > held], return_index=True)
        begun = np.zeros((new.size, 5), np.int64)
        begun[:, START] = start[block > held][at]
        self.blocks = np.vstack([self.blocks, begun])
        self.n += start.size
        row = block - ((self.n - 1) // BLOCK - len(self.blocks) + 1)
        self._count(row if unit is None else self._block_of(unit), 1, np.ones_like(row), accepted)
        self.blocks = self.blocks[-BLOCKS:]

    def label(self, place: Int[Array, " b"], loss: Int[Array, " b"]) -> None:
        """Add labels of accepted predictions."""
        self._count(self._block_of(place), 3, np.ones_like(loss), loss)

    def total(self) -> tuple[int, int, int, int]:
        """Predictions, accepted, labelled, errors."""
        n, accepted, labelled, errors = self.blocks[:, COUNTS].sum(axis=0).tolist()
        return n, accepted, labelled, errors

    def _block_of(self, place: Array) -> Int[Array, " b"]:
        return np.searchsorted(self.blocks[:, START], place, side="right") - 1

    def _count(self, at: Array, column: int, *values: Array) -> None:
        for i, value in enumerate(values):
            np.add.at(self.blocks[:, column + i], at[at >= 0], value[at >= 0])
