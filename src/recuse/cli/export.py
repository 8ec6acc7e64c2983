"""`recuse export`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from recuse._internal.check import extra
from recuse._internal.files import atomic, to_json
from recuse.cli.files import check_ending, refuse_overwrite
from recuse.cli.options import Force, Json, Quiet, Seed
from recuse.collect._models import load_function
from recuse.errors import InputError
from recuse.io._checked import naming
from recuse.present import terminal
from recuse.rejector import Rejector

if TYPE_CHECKING:
    from torch import Tensor

    from recuse.export import Parity, SelectiveModule

DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")
CHECKED = 17  # random inputs, at least
FORM = "--example 1,3,32,32, or 1,128:int64"


def export(
    rejector_path: Annotated[
        Path, typer.Argument(metavar="REJECTOR", help="What `recuse fit` wrote.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", help="path.py:function, your function that returns the trained torch module."
        ),
    ],
    example: Annotated[
        list[str],
        typer.Option(
            "--example",
            help="Shape of an input, the batch first: 1,3,32,32, or 1,128:int64; once for each "
            "input.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")] = Path(
        "model.onnx"
    ),
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check",
            help="A .npy file of real inputs to compare decisions on, once for each input; "
            "without it, random ones.",
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The model and its rejector as one ONNX file: logits, label, confidence, accept, p_correct.

    The file is run in onnxruntime before it takes its place. Exit code 1 and no file where one
    of its decisions is not that of `recuse predict` on the same logits.
    """
    check_ending(out, ".onnx")
    refuse_overwrite(out, force, rejector_path, *(check or ()))
    shapes = [_shape(text) for text in example]
    rejector = Rejector.load(rejector_path)
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        extra(package, "onnx", "export to ONNX")
    from recuse.export import check_onnx, to_module, to_onnx

    with redirect_stdout(sys.stderr):  # what the user's code prints is no result
        network = load_function(model)()
        with naming(model):
            module = to_module(network, rejector)
        inputs = _inputs(shapes, seed, rows=None)
        rows = max(CHECKED, 1 + len(inputs[0]))  # another batch than that of the export
        real = _read(check, inputs) if check else _inputs(shapes, seed + 1, rows=rows)
        with atomic(out) as temporary:
            _run(model, module, inputs)
            to_onnx(module, temporary, inputs)
            parity = check_onnx(temporary, module, real)
            if parity.decisions:
                print(f"recuse: not written: {parity}", file=sys.stderr)
                raise typer.Exit(1)
    if as_json:
        print(to_json({"out": str(out), "rejector": rejector.to_dict(), **parity._asdict()}))
    elif not quiet:
        _show(out, rejector, parity, "given" if check else "random")


def _run(spec: str, module: SelectiveModule, inputs: tuple[Tensor, ...]) -> None:
    """One pass through the model; InputErrors are ours, all others the user's."""
    import torch

    with torch.no_grad():
        try:
            module(*inputs)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{spec}: the model fails on --example: {reason}") from error


def _shape(text: str) -> tuple[list[int], str]:
    """Sizes and dtype of `1,3,32,32` or `1,128:int64`."""
    sizes, _, dtype = text.partition(":")
    dtype = dtype or "float32"
    parts = sizes.split(",")
    if dtype not in DTYPES or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise InputError(f"expected {FORM} with a dtype among {', '.join(DTYPES)}, got {text!r}")
    return [int(part) for part in parts], dtype


def _inputs(shapes: list[tuple[list[int], str]], seed: int, rows: int | None) -> tuple[Tensor, ...]:
    """Random numbers, or zeros for integers, which every embedding has."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    found = []
    for sizes, name in shapes:
        dtype = getattr(torch, name)
        sizes = sizes if rows is None else [rows, *sizes[1:]]
        x = torch.randn(sizes, generator=rng) if dtype.is_floating_point else torch.zeros(sizes)
        found.append(x.to(dtype))
    return tuple(found)


def _read(paths: list[Path], like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Inputs from .npy files, in the dtypes of the examples, as many rows in each."""
    import torch

    if len(paths) != len(like):
        raise InputError(f"expected --check once for each of {len(like)} inputs, got {len(paths)}")
    found = []
    for path, x in zip(paths, like):
        array = _array(path)
        if array.ndim != x.ndim or array.shape[1] != x.shape[1] or not len(array):
            raise InputError(f"{path}: expected inputs like {tuple(x.shape)}, got {array.shape}")
        found.append(torch.from_numpy(array).to(x.dtype))
    if len({len(x) for x in found}) != 1:
        raise InputError(f"expected --check files of as many rows, got {[len(x) for x in found]}")
    return tuple(found)


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: expected inputs in .npy, which this is not") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected a .npy file of numbers")
    return array


def _show(out: Path, rejector: Rejector, parity: Parity, inputs: str) -> None:
    terminal.say(f"Written to {out}: logits, label, confidence, accept, p_correct.")
    terminal.say(str(rejector))
    terminal.say(f"Checked in onnxruntime on {inputs} inputs: {parity}")
    if parity.changed:
        terminal.say("Collect logits from the file itself and fit on them, if that matters.")
