"""Logits files: read, write, split; tables of confidences.

A file holds `logits` (n, K) or (n, K, H, W), `labels` (n,) or (n, H, W), and optionally
`groups` (n,) (rows of one group are not independent: replicates of an image, frames of a
film) and `ids` (n,). Formats: .safetensors, .npz, .parquet, a folder of .npy; a folder or a
glob of shards is one file. No pickle is ever read or written.

n = rows of the file, K = classes, N = predictions: n, or n * H * W.
"""

from recuse.io._checked import KINDS, MULTILABEL, check_file, check_names, naming
from recuse.io._confidences import Confidences, holds_confidences, read_confidences
from recuse.io._overlap import fingerprints, overlap
from recuse.io._reader import LogitsReader, fetched, is_url, open_logits, read_logits, shards
from recuse.io._rows import FIELDS, LogitsFile, split_rows
from recuse.io._stores import FORMATS, Store, reading
from recuse.io._write import check_suffix, write_logits

__all__ = [
    "FIELDS",
    "FORMATS",
    "KINDS",
    "MULTILABEL",
    "Confidences",
    "LogitsFile",
    "LogitsReader",
    "Store",
    "check_file",
    "check_names",
    "check_suffix",
    "fetched",
    "fingerprints",
    "holds_confidences",
    "is_url",
    "naming",
    "open_logits",
    "overlap",
    "read_confidences",
    "read_logits",
    "reading",
    "shards",
    "split_rows",
    "write_logits",
]
