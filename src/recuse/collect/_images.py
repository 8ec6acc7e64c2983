"""Images in files, decoded; and a folder of them as rows: files, labels, pixels.

n = images, C = class folders, K = outputs of a model.
    DIR/<class>/**/*.jpg   the label is the place of the class among the sorted names
    DIR/*.jpg              no labels
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import extra
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGENET = "imagenet-1k"  # the class map that timm brings
UNKNOWN = -1  # the label of an image that has none
COLUMNS = ("folder", "index")  # of a class map
WIDE = "IF"  # first letters of Pillow's modes of more than 8 bits a channel
WNID = re.compile(r"n\d{8}")  # how ImageNet calls its folders


def opened(source: Any, mode: str | None = "RGB", *, name: Path | str | None = None) -> Any:
    """Return the decoded Pillow image of a path or a binary file.

    Args:
        source: A path, or a file of bytes.
        mode: Pillow's mode of the image; None keeps the values of labels, of any number of bits.
        name: Name of the source in messages; by default the source itself.

    Raises:
        InputError: It cannot be read, or has more than 8 bits a channel, which Pillow would cut
            off at 255 and hand out white.
    """
    image = extra("PIL.Image", "train", "reading images")
    name = source if name is None else name
    try:
        with image.open(source) as found:
            found.load()
            if mode is None:
                return found
            if found.mode[0] in WIDE:
                raise InputError(f"{name}: expected 8 bits a channel, got mode {found.mode}")
            return found.convert(mode)
    except InputError:
        raise
    except Exception as error:  # Pillow's plugins raise what they like
        raise InputError(f"{name}: expected an image, got {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what Pillow says, in one line and without its buffer's address."""
    said = " ".join(str(error).split())
    return "unknown bytes" if "cannot identify" in said else said or type(error).__name__


class ImageTree(NamedTuple):
    """The images under a folder, in the order of their paths."""

    root: Path
    ids: tuple[str, ...]  # (n) paths below the root, with forward slashes
    folders: tuple[str, ...]  # (C) sorted; none where the images lie in the root itself
    folder: Int64[np.ndarray, " n"] | None  # index of each image's class folder

    def spread(self, limit: int | None) -> ImageTree:
        """Return so many of the images, evenly spaced, so that no class is left out early."""
        n = len(self.ids)
        if limit is None or limit >= n:
            return self
        kept = np.arange(limit) * n // limit
        folder = None if self.folder is None else self.folder[kept]
        return self._replace(ids=tuple(self.ids[i] for i in kept), folder=folder)


def image_tree(root: str | os.PathLike) -> ImageTree:
    """List the images of a folder; hidden files and folders do not count.

    Raises:
        InputError: No such folder, no image in it, or images beside class folders.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    entries = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    folders = tuple(p.name for p in entries if p.is_dir())
    loose = [p.name for p in entries if _is_image(p.name) and p.is_file()]
    if folders and loose:
        raise InputError(
            f"{root}: expected images, or one folder of them for each class, "
            f"got both: {loose[0]} and {folders[0]}/"
        )
    inside = [(name, k) for k, folder in enumerate(folders) for name in _images(root, folder)]
    ids = tuple(loose or [name for name, _ in inside])
    if not ids:
        raise InputError(f"{root}: expected images ending in {', '.join(SUFFIXES)}, found none")
    return ImageTree(root, ids, folders, np.array([k for _, k in inside]) if folders else None)


def labels_of(
    tree: ImageTree, outputs: int, class_map: Mapping[str, int] | None = None
) -> Int64[np.ndarray, " n"] | None:
    """Return the label of each image among the outputs of a model; None without class folders.

    Args:
        tree: The images.
        outputs: K, the number of outputs of the model.
        class_map: Folder name -> output of its class; without it there must be K folders, in the
            order of the outputs.

    Raises:
        InputError: The folders do not fit the outputs, or nothing says how they do.
    """
    if tree.folder is None:
        if class_map is not None:
            raise InputError(f"{tree.root}: expected class folders for --class-map, got none")
        return None
    index = _by_name(tree, outputs) if class_map is None else _by_map(tree, outputs, class_map)
    return np.array(index, np.int64)[tree.folder]


def read_class_map(path: str) -> dict[str, int]:
    """Read the output of each class folder: a CSV file of `folder,index`, or `imagenet-1k`."""
    if path == IMAGENET:
        names = extra("timm.data", "vision", f"--class-map {IMAGENET}").ImageNetInfo()
        return {name: k for k, name in enumerate(names.label_names())}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file (a csv of folder,index, or {IMAGENET})") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a csv of folder,index ({error})") from error
    if tuple(header) != COLUMNS:
        raise InputError(f"{path}: expected the header folder,index, got {','.join(header)}")
    return _class_map(path, rows)


@dataclass(frozen=True)
class Images:
    """The images of a tree as a torch data set of (pixels, label, id)."""

    root: Path
    ids: Sequence[str]
    labels: Int64[np.ndarray, " n"] | None
    transform: Callable[[Any], Float[Tensor, "c h w"]]  # of an image of Pillow
    mode: str = "RGB"  # of that image

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> tuple[Float[Tensor, "c h w"], int, str]:
        path = self.root / self.ids[i]
        image = opened(path, self.mode)
        try:
            pixels = self.transform(image)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: its transform raised {type(error).__name__}: {reason}")  # noqa: B904
        return pixels, UNKNOWN if self.labels is None else int(self.labels[i]), self.ids[i]


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _images(root: Path, folder: str) -> list[str]:
    """The images below a class folder: links are followed, each folder is read once."""
    above = {os.path.realpath(root), *map(str, Path(os.path.realpath(root)).parents)}
    found, seen = [], set()
    for where, folders, names in os.walk(root / folder, followlinks=True):
        folders.sort()
        place = os.path.realpath(where)
        if place in above:
            raise InputError(f"{where}: expected images, got a link to a folder that holds it")
        if place in seen or Path(where).name.startswith("."):
            folders.clear()
            continue
        seen.add(place)
        paths = (Path(where, name) for name in names if _is_image(name))
        found += [path.relative_to(root).as_posix() for path in paths]
    return sorted(found)


def _by_name(tree: ImageTree, outputs: int) -> list[int]:
    folders = tree.folders
    if len(folders) != outputs:
        raise InputError(
            f"{tree.root}: expected {outputs} class folders, one for each output of the model, "
            f"got {len(folders)}: {_how_to_map(folders)}"
        )
    if all(name.isdecimal() for name in folders) and list(folders) != sorted(folders, key=int):
        raise InputError(
            f"{tree.root}: expected folders whose names sort in the order of the outputs, got "
            f"numbers that sort as text ({', '.join(folders[:3])}): {_how_to_map(folders)}"
        )
    return list(range(outputs))


def _how_to_map(folders: Sequence[str]) -> str:
    if all(WNID.fullmatch(name) for name in folders):
        return f"give --class-map {IMAGENET}, or a csv of folder,index"
    return "give --class-map, a csv of folder,index"


def _by_map(tree: ImageTree, outputs: int, class_map: Mapping[str, int]) -> list[int]:
    missing = [name for name in tree.folders if name not in class_map]
    if missing:
        raise InputError(
            f"{tree.root}: expected every folder in --class-map, "
            f"got {len(missing)} that are not: {', '.join(missing[:3])}"
        )
    index = [class_map[name] for name in tree.folders]
    for name, k in zip(tree.folders, index):
        if not 0 <= k < outputs:
            raise InputError(f"expected --class-map in 0..{outputs - 1}, got {k} for {name}")
    return index


def _class_map(path: str, rows: list[list[str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if len(row) != 2 or not row[1].isdecimal():
            raise InputError(f"{path}: expected folder,index in line {number}, got {','.join(row)}")
        if row[0] in found:
            raise InputError(f"{path}: expected each folder once, got {row[0]} again")
        found[row[0]] = int(row[1])
    return found
