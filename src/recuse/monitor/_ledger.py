"""Which predictions are known, and what of them: nothing is lost or counted twice.

n = predictions known, b = ids looked up together.

An id that is a whole number of at most 18 digits is its own key; any other is 63 bits of its
BLAKE2 digest, so that two of ten million differing texts share a key with probability 5e-6.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array

PENDING, ABSTAINED, RIGHT, WRONG, NEW = 0, -1, -2, -3, -4  # >= 0: the place of a pending one
DIGITS = 18
TEXT = 1 << 63  # the bit that sets digests apart from numbers


def keys_of(ids: Array) -> UInt64[Array, " b"]:
    """A key for each id; a number and its decimal text are one id.

    >>> bool(keys_of(np.array([17]))[0] == keys_of(np.array(["17"]))[0])
    True
    """
    if ids.dtype.kind in "iu" and ids.size and ids.min() >= 0 and ids.max() < 10**DIGITS:
        return ids.astype(np.uint64)
    return np.fromiter(map(_key, ids.astype(str).tolist()), np.uint64, ids.size)


def _key(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS and str(int(text)) == text:
        return int(text)
    hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(hashed) | TEXT


class Ledger:
    """A map from keys to what is known, 16 bytes an entry.

    Sorted runs, each at least twice as long as the next: a lookup is O(log^2 n), and n entries
    take O(n log^2 n) to come in, in batches of any size.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Array, Array]] = []

    def __len__(self) -> int:
        return sum(keys.size for keys, _ in self._runs)

    def get(self, keys: UInt64[Array, " b"]) -> Int[Array, " b"]:
        """What is known of each key; `NEW` where nothing is."""
        out = np.full(keys.size, NEW, np.int64)
        for (_, values), (hit, at) in zip(self._runs, self._find(keys)):
            out[hit] = values[at]
        return out

    def set(self, keys: UInt64[Array, " b"], values: Int[Array, " b"]) -> None:
        """Replace what is known of keys that are there."""
        for (_, held), (hit, at) in zip(self._runs, self._find(keys)):
            held[at] = values[hit]

    def add(self, keys: UInt64[Array, " b"], values: Int[Array, " b"]) -> None:
        """Add keys that are new, each once."""
        if not keys.size:
            return
        self._runs.append(_sorted(keys, values))
        while len(self._runs) > 1 and self._runs[-2][0].size < 2 * self._runs[-1][0].size:
            self._merge()

    def whole(self) -> tuple[UInt64[Array, " n"], Int[Array, " n"]]:
        """All keys in order, and what is known of each."""
        while len(self._runs) > 1:
            self._merge()
        return self._runs[0] if self._runs else (np.empty(0, np.uint64), np.empty(0, np.int64))

    def _merge(self) -> None:
        (a, x), (b, y) = self._runs.pop(), self._runs.pop()
        self._runs.append(_sorted(np.concatenate([a, b]), np.concatenate([x, y])))

    def _find(self, keys: Array) -> list[tuple[Array, Array]]:
        """For each run, which of the keys it holds, and where."""
        found = []
        for held, _ in self._runs:
            at = np.minimum(np.searchsorted(held, keys), held.size - 1)
            hit = np.flatnonzero(held[at] == keys)
            found.append((hit, at[hit]))
        return found


def _sorted(keys: Array, values: Array) -> tuple[Array, Array]:
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]
