"""Images in files or in memory, decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recuse._internal.check import extra
from recuse.errors import InputError

WIDE = "IF"  # first letters of Pillow's modes of more than 8 bits a channel


def opened(source: Any, mode: str | None = "RGB", *, name: Path | str | None = None) -> Any:
    """A decoded Pillow image of a path or a binary file, which `name` says in messages.

    Args:
        source: A path, or a file of bytes.
        mode: Of the image; None keeps the values of labels, of any number of bits.
        name: Of the source; by default itself.

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
        raise InputError(f"{name}: expected an image, got {_said(error)}") from error


def _said(error: Exception) -> str:
    """What Pillow says, in one line and without its buffer's address."""
    said = " ".join(str(error).split())
    return "unknown bytes" if "cannot identify" in said else said or type(error).__name__
