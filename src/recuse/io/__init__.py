"""Held-out files: read, write, split and compare.

A file holds `logits` (n, K) or (n, K, H, W), `labels` (n,) or (n, H, W), and optionally `groups`
(n,) (rows of one group depend on each other: replicates of an image, frames of a film) and `ids`
(n,). Formats: .safetensors, .npz, .parquet, a folder of .npy; a folder or a glob of shards is one
file. No pickle is ever read or written.

    read, open_logits         a file in memory, or a part at a time
    from_arrays, from_frame   outputs and labels of other libraries
    write_logits              every format, whole or not at all
    split_rows                disjoint parts, by group where there are groups
    overlap                   examples that two splits share

n = rows of the file, K = classes, N = predictions: n, or n * H * W.
"""

from recuse.io._arrays import from_arrays
from recuse.io._overlap import overlap
from recuse.io._reader import LogitsReader, open_logits, read
from recuse.io._rows import HeldOut, split_rows
from recuse.io._tables import from_frame
from recuse.io._write import write_logits

__all__ = [
    "HeldOut",
    "LogitsReader",
    "from_arrays",
    "from_frame",
    "open_logits",
    "overlap",
    "read",
    "split_rows",
    "write_logits",
]
