"""Checks of arguments, in one place.

A message says what was expected, what came, and where. The command line prints an `InputError`
as one line on stderr and exits with code 2.

n = examples, K = classes.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from typing import Any

import numpy as np

from recuse.errors import InputError, MissingExtraError

LARGEST = float(np.finfo(np.float32).max)
NAMED_ROWS = 3  # how many offending rows a message names
_FIRST_ROW: ContextVar[int] = ContextVar("first_row", default=0)
_LINES: ContextVar[np.ndarray | None] = ContextVar("lines", default=None)


def extra(module: str, name: str, what: str) -> Any:
    """Import `module`, or say in one line which extra installs it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {module.split('.')[0]}: pip install 'recuse[{name}]'"
        ) from error


def installed(module: str) -> bool:
    """Return whether a module is installed, without importing it.

    >>> installed("numpy"), installed("no_such_package")
    (True, False)
    """
    from importlib.util import find_spec

    return find_spec(module) is not None


def need(module: str, name: str, what: str) -> None:
    """Say in one line which extra installs a module, if it is not installed.

    >>> need("no_such_package", "report", "the page")
    Traceback (most recent call last):
    recuse.MissingExtraError: the page needs no_such_package: pip install 'recuse[report]'
    """
    if not installed(module):
        raise MissingExtraError(f"{what} needs {module}: pip install 'recuse[{name}]'")


def base_class(module: str, name: str, extra_name: str) -> Any:
    """Return a class to extend; where it is not installed, one that says so when it is made.

    >>> class Logger(base_class("no_such_package", "Callback", "train")): ...
    >>> Logger()
    Traceback (most recent call last):
    recuse.MissingExtraError: Logger needs no_such_package: pip install 'recuse[train]'
    """
    import importlib

    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:

        class Missing:
            def __new__(cls, *args, **kwargs):
                return extra(module, extra_name, cls.__name__)

        return Missing


def to_numpy(x: Any) -> np.ndarray:
    """Return anything with `__array__` as an array; torch bfloat16 tensors keep their dtype."""
    if type(x).__module__.split(".")[0] == "torch":
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":
            import ml_dtypes
            import torch

            return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return x.numpy()
    try:
        return np.asarray(x)
    except ValueError as error:  # rows of a list that differ in length
        reason = str(error).partition(". ")[0]
        raise InputError(f"expected an array, got {_a(x)}: {reason}") from error


def first_of(outputs: Any, where: str = "") -> Any:
    """Return the logits of what a model gives: itself, the first of a tuple, or `logits`."""
    if isinstance(outputs, Mapping):  # a ModelOutput of Transformers is one
        if "logits" not in outputs:
            names = ", ".join(map(str, outputs)) or "nothing"
            raise InputError(f"{where}expected outputs with `logits`, got {names}")
        return outputs["logits"]
    if isinstance(outputs, (tuple, list)) and outputs and hasattr(outputs[0], "shape"):
        return outputs[0]
    return outputs


def is_floating(dtype: np.dtype) -> bool:
    """Return whether this is float16, bfloat16, float32 or float64."""
    return (dtype.kind == "f" and dtype.itemsize <= 8) or is_bfloat16(dtype)


def is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether this is bfloat16, which NumPy knows from ml_dtypes."""
    return dtype.kind == "V" and dtype.name == "bfloat16"  # a name takes longer than the rest


def as_floats(x: np.ndarray) -> np.ndarray:
    """Return integers as float64, and what is floating as it is."""
    return x.astype(np.float64) if x.dtype.kind in "iu" else x


def first(mask: Any) -> str:
    """Return the first offending positions of a mask, for a message."""
    rows, lines = np.flatnonzero(mask), _LINES.get()
    text = lines is not None and len(lines) == len(mask)
    rows, noun = (lines[rows], "line") if text else (rows + _FIRST_ROW.get(), "row")
    shown = ", ".join(str(r) for r in rows[:NAMED_ROWS])
    return f"{noun}{'s' * (rows.size > 1)} {shown}{', ...' * (rows.size > NAMED_ROWS)}"


@contextmanager
def at_lines(lines: np.ndarray | None) -> Generator[None]:
    """Name rows in messages by their lines in a text file, if there are any."""
    token = _LINES.set(lines)
    try:
        yield
    finally:
        _LINES.reset(token)


def near(name: str, known: Iterable[str]) -> str:
    """Return a question for a name that is nearly one of those known, or nothing.

    >>> near("dgo", ["cat", "dog"])
    ": did you mean 'dog'?"
    >>> near("DOG", ["cat", "dog"])
    ": did you mean 'dog'?"
    """
    from difflib import get_close_matches

    plain = {other.casefold(): other for other in known}
    found = get_close_matches(name.casefold(), plain, n=1)
    return f": did you mean {plain[found[0]]!r}?" if found else ""


@contextmanager
def rows_from(start: int) -> Generator[None]:
    """Count rows in messages from `start`, for the checks of one part of a file."""
    token = _FIRST_ROW.set(start)
    try:
        yield
    finally:
        _FIRST_ROW.reset(token)


def check_logits(logits: Any, *, where: str = "`logits`") -> np.ndarray:
    """Return logits (n, K, ...), floating, with n >= 1, K >= 2 and no NaN or +inf.

    Integers become float64.
    """
    z = to_numpy(logits)
    check_logits_form(z.shape, z.dtype, where=where)
    z = as_floats(z)
    values = z.astype(np.float32) if is_bfloat16(z.dtype) else z
    largest = float(values.max())
    if not largest < np.inf:
        _refuse(~(values < np.inf), f"expected {where} without NaN or +inf")
    if z.dtype == np.float64 and max(largest, -float(z.min())) > LARGEST:
        lowest = z == np.finfo(np.float64).min  # a mask
        z = np.where(lowest, -np.inf, z) if lowest.any() else z
        large = (np.abs(z) > LARGEST) & (z > -np.inf)
        _refuse(large, f"expected {where} within the range of float32")
    return z


def check_logits_form(shape: tuple[int, ...], dtype: np.dtype, *, where: str = "`logits`") -> None:
    """Check shape and dtype of logits."""
    if not (is_floating(dtype) or dtype.kind in "iu"):
        raise InputError(
            f"expected {where} of a floating dtype (float16, bfloat16, float32, float64) or "
            f"integers, got {dtype}"
        )
    if len(shape) < 2:
        one = "; a single row z is z[None]" if len(shape) == 1 and shape[0] > 1 else ""
        raise InputError(f"expected {where} of shape (n, K, ...), got {shape}{one}")
    if 0 in shape:
        raise InputError(f"expected {where} with at least one row, got shape {shape}")
    if shape[1] < 2:
        raise InputError(
            f"expected {where} with K >= 2 classes on axis 1, got shape {shape}; "
            "declare a one-column binary head by `scores.from_binary` or --binary"
        )


def _refuse(bad: Any, expectation: str) -> None:
    if bad.any():
        rows = bad.reshape(len(bad), -1).any(axis=1)
        raise InputError(f"{expectation}, got {int(bad.sum())} such values, {first(rows)}")


def check_labels(labels: Any, logits: np.ndarray, *, where: str = "`labels`") -> np.ndarray:
    """Return labels as integers in [0, K) of the shape that the logits imply: (n, ...)."""
    y = to_numpy(labels)
    check_labels_form(y.shape, y.dtype, logits.shape, where=where)
    bad = (y < 0) | (y >= logits.shape[1])
    if bad.any():
        rows = bad.reshape(len(y), -1).any(axis=1)
        value = y[bad].flat[0]
        raise InputError(
            f"expected {where} in 0..{logits.shape[1] - 1}, got {value} at {first(rows)}"
        )
    return y


def check_labels_form(
    shape: tuple[int, ...],
    dtype: np.dtype,
    logits: tuple[int, ...],
    *,
    where: str = "`labels`",
) -> None:
    """Check shape and dtype of labels, for logits of a shape."""
    expected = logits[:1] + logits[2:]
    if dtype.kind not in "iu":
        raise InputError(f"expected {where} as integers 0..{logits[1] - 1}, got {dtype}")
    if shape != expected:
        raise InputError(
            f"expected {where} of shape {expected} for logits of shape {logits}, got {shape}"
        )


def check_confidence(confidence: Any, *, where: str = "`confidence`") -> np.ndarray:
    """Return confidences (n,), n >= 1, without NaN; infinities are allowed."""
    c = to_numpy(confidence)
    if c.dtype.kind in "iub":
        c = c.astype(np.float64)
    if not is_floating(c.dtype):
        raise InputError(f"expected {where} of a floating dtype, got {c.dtype}")
    if is_bfloat16(c.dtype):
        c = c.astype(np.float32)
    if c.ndim != 1:
        raise InputError(f"expected {where} of shape (n,), got {c.shape}")
    if c.size == 0:
        raise InputError(f"expected {where} with at least one example, got none")
    bad = np.isnan(c)
    if bad.any():
        raise InputError(f"expected {where} without NaN, got {int(bad.sum())}, {first(bad)}")
    return c


def check_loss(loss: Any, n: int, *, where: str = "`loss`") -> np.ndarray:
    """Return losses (n,) as float64, finite and not negative."""
    l = to_numpy(loss)
    if l.dtype.kind not in "iubf" and not is_floating(l.dtype):
        raise InputError(f"expected {where} of a numeric dtype, got {l.dtype}")
    if l.shape != (n,):
        raise InputError(
            f"expected `confidence` and {where} of the same shape (n,), got ({n},) and {l.shape}"
        )
    l = l.astype(np.float64)
    bad = ~(np.isfinite(l) & (l >= 0))
    if bad.any():
        raise InputError(f"expected {where} finite and >= 0, got {l[bad][0]} at {first(bad)}")
    return l


def check_zero_one(
    loss: np.ndarray, *, where: str = "`loss`", what: str = "an exact binomial guarantee"
) -> np.ndarray:
    """Return 0-1 losses, for methods that count errors, such as an exact binomial tail."""
    bad = (loss != 0) & (loss != 1)
    if bad.any():
        raise InputError(
            f"expected {where} of 0 and 1 (errors) for {what}, got {loss[bad][0]} at {first(bad)}"
        )
    return loss


def blank(names: np.ndarray) -> np.ndarray:
    """Return which names of a column are empty or white space, as cells that were not filled in."""
    if names.dtype.kind not in "US":
        return np.zeros(names.shape, bool)
    begins = names.astype(f"{names.dtype.kind}1")
    out = np.char.str_len(np.char.strip(begins)) == 0
    out[out] = np.char.str_len(np.char.strip(names[out])) == 0
    return out


def check_groups(groups: Any, n: int, *, where: str = "`groups`") -> np.ndarray:
    """Return the group of each row as codes 0..G-1 (n,)."""
    g = to_numpy(groups)
    if g.shape != (n,):
        raise InputError(f"expected {where} of shape ({n},), got {g.shape}")
    g = _alike(g, where) if g.dtype.kind == "O" else g
    missing = np.isnan(g) if g.dtype.kind == "f" else np.zeros(0, bool)
    if missing.any():  # else all of them would be one group
        raise InputError(
            f"expected {where} without NaN, got {int(missing.sum())}, {first(missing)}"
        )
    if (empty := blank(g)).any():
        raise InputError(f"expected {where} without blanks, got {int(empty.sum())}, {first(empty)}")
    return np.unique(g, return_inverse=True)[1].reshape(-1)


def _alike(g: np.ndarray, where: str) -> np.ndarray:
    """Return objects as integers, or as strings; refuse None and mixtures."""
    kinds = [str if isinstance(x, str) else int if isinstance(x, Integral) else None for x in g]
    bad = np.array([kind is None or kind is not kinds[0] for kind in kinds])
    if bad.any():
        odd = g[int(np.flatnonzero(bad)[0])]
        raise InputError(f"expected {where} of integers, or of strings, got {odd!r}, {first(bad)}")
    return np.array(g.tolist())


def check_named(given: Any, what: str, form: str) -> dict[Any, Any]:
    """Return a mapping as a dictionary."""
    if isinstance(given, Mapping):
        return dict(given)
    raise InputError(f"expected {what} by name, as {form}, got {_a(given)}")


def check_sequence(given: Any, what: str) -> tuple[Any, ...]:
    """Return a sequence as a tuple; a string is not a sequence of letters."""
    if isinstance(given, Iterable) and not isinstance(given, str):
        return tuple(given)
    raise InputError(f"expected {what} as a sequence, got {given!r}")


def _a(x: Any) -> str:
    name = type(x).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def check_count(x: Any, name: str, *, least: int = 1) -> int:
    """Return an integer that is at least `least`."""
    if isinstance(x, Integral) and not isinstance(x, bool) and x >= least:
        return int(x)
    raise InputError(f"expected `{name}` as an integer >= {least}, got {x!r}")


def check_seed(x: Any) -> int:
    """Return the seed of a random generator."""
    return check_count(x, "seed", least=0)


def check_bins(x: Any) -> int:
    """Return a number of bins."""
    return check_count(x, "bins")


def is_number(x: Any) -> bool:
    """Return whether x is a real number or an array of one; text, True and False are not."""
    if getattr(x, "ndim", None) == 0 and hasattr(x, "item"):
        x = x.item()
    return isinstance(x, Real) and not isinstance(x, bool)


def number_of(text: str) -> float | str:
    """Return the number that a text states, or the text if it states none."""
    try:
        return float(text)
    except ValueError:
        return text


def check_fraction(x: Any, name: str, *, zero: bool = False, one: bool = False) -> float:
    """Return a number between 0 and 1; the ends are allowed only where asked."""
    value = float(x) if is_number(x) else math.nan
    if (0 < value < 1) or (zero and value == 0) or (one and value == 1):
        return value
    interval = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
    if not is_number(x):
        raise InputError(f"expected `{name}` as a number in {interval}, got {x!r}")
    hint = f" ({x} % is the fraction {value / 100:g})" if 1 <= value <= 100 else ""
    raise InputError(f"expected `{name}` in {interval}, got {x}{hint}")


def check_delta(x: Any) -> float:
    """Return the probability that a guarantee fails, below one half."""
    if not is_number(x):
        raise InputError(f"expected `delta` as a number in (0, 0.5), got {x!r}")
    if not 0 < x < 0.5:
        raise InputError(
            f"expected `delta` in (0, 0.5), a fraction, got {x}: it is the probability that the "
            "guarantee fails, 0.05 for 95 % confidence"
        )
    return float(x)


def per_row(groups: Any, labels: np.ndarray) -> np.ndarray:
    """Return groups of rows (n,), repeated over the trailing axes of the labels."""
    g = to_numpy(groups)
    if g.shape == labels.shape:
        return g.ravel()
    if g.shape != labels.shape[:1]:
        raise InputError(f"expected `groups` of shape {labels.shape[:1]}, got {g.shape}")
    return np.broadcast_to(g.reshape(-1, *(1,) * (labels.ndim - 1)), labels.shape).ravel()
