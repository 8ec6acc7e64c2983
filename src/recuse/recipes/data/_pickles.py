"""The Python batches of CIFAR, read without running what a pickle may ask for.

A pickle is a program. Here it may build lists, dictionaries, numbers and texts, and arrays of
bytes; these are put together by the classes below, so that nothing of NumPy sees its state. (Each
has `__setstate__`, without which a pickle could set attributes of the class.)
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8

ENCODING = "latin1"  # maps bytes 0..255 to themselves: how Python 2 wrote them


class Bytes:
    """Stands for `numpy.ndarray`: shape and bytes of an array."""

    def __init__(self, *_: Any):
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)[1:]  # without the version

    def array(self) -> UInt8[np.ndarray, ...]:
        """The array, if it is one of uint8, in C or Fortran order."""
        shape, kind, fortran, data = self.state
        if kind.name not in ("u1", "|u1"):
            raise ValueError(f"an array of {kind.name}")
        data = data.encode(ENCODING) if isinstance(data, str) else data
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class Kind:
    """Stands for `numpy.dtype`: its name."""

    def __init__(self, name: Any, *_: Any):
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: of no meaning for one byte."""


class Buffer(Bytes):
    """Stands for `numpy._frombuffer`, of protocol 5."""

    def __init__(self, data: Any, kind: Kind, shape: Any, order: str):
        self.state = (shape, kind, order == "F", bytes(data))


class Encoded(bytes):
    """Stands for `codecs.encode`, by which Python 3 writes bytes at protocol 2."""

    def __new__(cls, text: str, *_: Any) -> Encoded:
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
    """Finds nothing but the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name."""
        if (module, name) not in STANDS_FOR:
            raise pickle.UnpicklingError(f"a pickle that asks for {module}.{name}: not run")
        return STANDS_FOR[module, name]


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a file: arrays of bytes as uint8 arrays, lists and texts as they are.

    Raises:
        InputError: The pickle asks for anything else, or is none, or holds no dictionary.
    """
    try:
        with path.open("rb") as handle:
            found = Unpickler(handle, encoding=ENCODING).load()
        return {str(k): v.array() if isinstance(v, Bytes) else v for k, v in found.items()}
    except Exception as error:  # a broken pickle raises whatever it likes
        said = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path}: expected arrays of bytes and lists, got {said}") from error
