"""CIFAR-10 and CIFAR-100 in any of three layouts.

| layout | files |
|---|---|
| hub | `train-*.parquet`, `test-*.parquet`; columns `img` or `image`, `label` or `fine_label` |
| Python batches | `data_batch_1`, ... and `test_batch`, or `train` and `test`; not executed |
| tree | `train/<class>/*.png`, `test/<class>/*.png` |

    x (n, 3, 32, 32) uint8 in memory, normalised by the training part    y (n,)

5,000 of the 50,000 training images are held out, as in the published experiment on CIFAR-100: one
half to tune and one half to calibrate.

References:
    Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from recuse._internal.check import extra
from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Normalize, Part, Parts, Rows, found, halves, home, split
from recuse.recipes.data.images import crop_and_flip, pixels, trees

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

CLASSES = {"cifar10": 10, "cifar100": 100}
BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
HELD_OUT = 5000
SIDE = 32  # pixels
SOURCE = "CIFAR is at https://www.cs.toronto.edu/~kriz/cifar.html and on public hubs"
EXPECTED = "train-*.parquet, data_batch_1, ... or train/<class>/*.png, and the same for test"
LABELS = ("fine_label", "fine_labels", "label", "labels")
IMAGES = ("img", "image")
ENCODING = "latin1"  # maps bytes 0..255 to themselves, as Python 2 wrote them


class Images(NamedTuple):
    """Images and labels."""

    x: UInt8[np.ndarray, "n 3 32 32"]
    y: Int64[np.ndarray, " n"]


def load(
    folder: Path | str | None,
    name: Literal["cifar10", "cifar100"] = "cifar10",
    seed: int = 0,
    *,
    held_out: int = HELD_OUT,
) -> Parts:
    """Load CIFAR with the usual augmentation: pad by 4, crop, mirror.

    Args:
        folder: Folder with one of the layouts above, or with a subfolder `name` that has one.
        name: "cifar10" or "cifar100", by the number of classes.
        seed: Seed of the choice of held-out images.
        held_out: Training images to tune and calibrate, one half each.

    Returns:
        Rows whose ids count the training images from 0 and the test images on from there.

    Raises:
        InputError: A layout is missing, broken, incomplete or found twice, an image is not
            32 x 32, a label is invalid, a pickle asks for more than arrays, or the number of
            classes is wrong.
    """
    folder = home(folder, name, expected=EXPECTED, source=SOURCE)
    train, test, names = source(folder)
    if len(names) != CLASSES.get(name):
        raise InputError(f"{folder}: expected {name}, got {len(names)} classes")
    everything = np.arange(len(train.y))
    tune, calibrate, rest = split(everything, halves(held_out), seed)
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    prepare = Normalize.of(x[rest])
    parts = [
        Part(Rows(x[i], y[i], crop_and_flip if i is rest else None, prepare=prepare), i)
        for i in (rest, tune, calibrate)
    ]
    held = Rows(torch.from_numpy(test.x), torch.from_numpy(test.y), prepare=prepare)
    tested = Part(held, len(everything) + np.arange(len(test.y)))
    return Parts(*parts, tested, classes=len(names), names=names)


def source(folder: Path) -> tuple[Images, Images, tuple[str, ...]]:
    """Read training images, test images and class names in the layout that is found."""
    if any(folder.rglob("train-*.parquet")):
        train, test = (_parquet(folder, part) for part in ("train", "test"))
        return train, test, _numbered(train, test)
    if files := _batches(folder):
        names = _named(files[0].parent)
        *train, test = (_batch(path, len(names or ()) or max(CLASSES.values())) for path in files)
        return _together(train), test, names or _numbered(*train, test)
    for part in ("train", "test"):
        found(folder / part, expected=EXPECTED, source=SOURCE)
    seen, held, names = trees(folder / "train", folder / "test")
    return _tree(seen), _tree(held), names


def _parquet(folder: Path, part: str) -> Images:
    parquet = extra("pyarrow.parquet", "parquet", "CIFAR in parquet")
    paths = sorted(folder.rglob(f"{part}-*.parquet"))
    if not paths:
        raise InputError(f"expected {part}-*.parquet beside those of the other part in {folder}")
    _check_shards(paths)
    return _together([_table(parquet, path) for path in paths])


def _check_shards(paths: list[Path]) -> None:
    """Check that all shards of one copy are there: `train-00000-of-00002.parquet` is one of two."""
    if len({path.parent for path in paths}) > 1:
        raise InputError(f"expected one copy, got {paths[0]} and {paths[-1]}")
    for path in paths:
        count = re.search(r"-of-(\d+)$", path.stem)
        if count and int(count[1]) != len(paths):
            raise InputError(f"{path}: expected {int(count[1])} shards, got {len(paths)}")


def _table(parquet: Any, path: Path) -> Images:
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a parquet file, got something else") from error
    if not table.num_rows:
        raise InputError(f"{path}: expected images, got no rows")
    rows = table[_first(IMAGES, table.column_names, path)].to_pylist()
    x = [
        _decoded(io.BytesIO(_bytes(row, path, i)), f"{path} row {i}") for i, row in enumerate(rows)
    ]
    y = table[_first(LABELS, table.column_names, path)].to_pylist()
    return Images(np.stack(x), _labels(y, path, max(CLASSES.values())))


def _bytes(row: Any, path: Path, number: int) -> bytes:
    found = row.get("bytes") if isinstance(row, dict) else None
    if not isinstance(found, bytes):
        raise InputError(f"{path}: expected an image as a struct with `bytes` in row {number}")
    return found


def _labels(y: list[Any], path: Path, classes: int) -> Int64[np.ndarray, " n"]:
    """Return labels as an array, if all are classes."""
    for row, label in enumerate(y):
        if type(label) is not int or not 0 <= label < classes:
            raise InputError(
                f"{path}: expected labels 0..{classes - 1}, got {label!r} in row {row}"
            )
    return np.array(y, np.int64)


def _batches(folder: Path) -> list[Path]:
    """List the Python batches in a folder or below it, the test batch last."""
    for place in (folder, folder / "cifar-10-batches-py", folder / "cifar-100-python"):
        if (place / "test_batch").is_file():
            files = [place / name for name in (*BATCHES, "test_batch")]
            return [found(path, expected=EXPECTED, source=SOURCE) for path in files]
        if (place / "train").is_file() and (place / "test").is_file():
            return [place / "train", place / "test"]
    return []


def _batch(path: Path, classes: int) -> Images:
    read = unpickled(path)
    y = read[_first(LABELS, list(read), path)]
    x = read.get("data")
    known = isinstance(x, np.ndarray) and isinstance(y, list) and len(y) > 0
    if not known or x.shape != (len(y), 3 * SIDE * SIDE):
        raise InputError(f"{path}: expected `data` of {3 * SIDE * SIDE} bytes for each label")
    return Images(x.reshape(-1, 3, SIDE, SIDE).copy(), _labels(y, path, classes))


def _tree(files: list[tuple[Path, int]]) -> Images:
    x = np.stack([_decoded(path, path) for path, _ in files])
    return Images(x, np.array([k for _, k in files]))


def _decoded(file: Any, name: Path | str) -> UInt8[np.ndarray, "3 32 32"]:
    x = pixels(opened(file, name=name)).numpy()
    if x.shape != (3, SIDE, SIDE):
        raise InputError(f"{name}: expected an image of 32 x 32, got {x.shape[2]} x {x.shape[1]}")
    return x


def _together(parts: list[Images]) -> Images:
    return Images(*map(np.concatenate, zip(*parts)))


def _first(names: tuple[str, ...], there: list[str], path: Path) -> str:
    for name in names:
        if name in there:
            return name
    raise InputError(f"{path}: expected {' or '.join(names)}, got {', '.join(there)}")


def _named(folder: Path) -> tuple[str, ...] | None:
    """Return the class names if the file of names lies beside the batches."""
    for file, key in (("batches.meta", "label_names"), ("meta", "fine_label_names")):
        if (folder / file).is_file():
            names = unpickled(folder / file).get(key)
            if not isinstance(names, list) or not names:
                raise InputError(f"{folder / file}: expected a list `{key}`, got none")
            return tuple(map(str, names))
    return None


def _numbered(*parts: Images) -> tuple[str, ...]:
    """Return the class names of CIFAR-10, or numbers for other data."""
    classes = 1 + max(int(part.y.max()) for part in parts)
    return NAMES if classes == len(NAMES) else tuple(map(str, range(classes)))


# Python batches. A pickle is a program. This one may build lists, dictionaries, numbers, strings
# and arrays of bytes. The classes below assemble the arrays, so that NumPy never sees their state.
# Each has `__setstate__`, without which a pickle could set attributes of the class.


class Bytes:
    """Stand-in for `numpy.ndarray`: shape and bytes of an array."""

    def __init__(self, *_: Any):
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)[1:]  # without the version

    def array(self) -> UInt8[np.ndarray, ...]:
        """Return the uint8 array, in C or Fortran order."""
        shape, kind, fortran, data = self.state
        if kind.name not in ("u1", "|u1"):
            raise ValueError(f"an array of {kind.name}")
        data = data.encode(ENCODING) if isinstance(data, str) else data
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class Kind:
    """Stand-in for `numpy.dtype`: its name."""

    def __init__(self, name: Any, *_: Any):
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Ignore the byte order, which has no meaning for single bytes."""


class Buffer(Bytes):
    """Stand-in for `numpy._frombuffer` of protocol 5."""

    def __init__(self, data: Any, kind: Kind, shape: Any, order: str):
        self.state = (shape, kind, order == "F", bytes(data))


class Encoded(bytes):
    """Stand-in for `codecs.encode`, with which Python 3 writes bytes at protocol 2."""

    def __new__(cls, text: str, *_: Any) -> Encoded:
        """Return the bytes of a string."""
        return super().__new__(cls, text.encode(ENCODING))

    def __setstate__(self, state: Any) -> None:
        raise ValueError("bytes with a state")


STANDS_FOR = {
    ("numpy", "ndarray"): Bytes,
    ("numpy", "dtype"): Kind,
    ("numpy.core.multiarray", "_reconstruct"): Bytes,
    ("numpy._core.multiarray", "_reconstruct"): Bytes,
    ("numpy.core.numeric", "_frombuffer"): Buffer,
    ("numpy._core.numeric", "_frombuffer"): Buffer,
    ("_codecs", "encode"): Encoded,
}


class Unpickler(pickle.Unpickler):
    """An unpickler that knows only the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name."""
        if (module, name) not in STANDS_FOR:
            raise pickle.UnpicklingError(f"a pickle that asks for {module}.{name}: not run")
        return STANDS_FOR[module, name]


def unpickled(path: Path) -> dict[str, Any]:
    """Read a dictionary of uint8 arrays, lists and strings without running the pickle.

    Raises:
        InputError: The file is not a pickle, holds no dictionary, or asks for anything else.
    """
    try:
        with path.open("rb") as handle:
            found = Unpickler(handle, encoding=ENCODING).load()
        return {str(k): v.array() if isinstance(v, Bytes) else v for k, v in found.items()}
    except Exception as error:  # a broken pickle raises errors of many kinds
        said = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path}: expected arrays of bytes and lists, got {said}") from error
