"""`recuse export`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recuse._internal.check import extra
from recuse._internal.files import atomic, to_json
from recuse.cli.files import check_ending, refuse_overwrite
from recuse.cli.options import Force, Json, Quiet, Seed
from recuse.collect._models import load_function
from recuse.errors import InputError
from recuse.io._checked import naming
from recuse.io._rows import refuse_confidences
from recuse.present import terminal
from recuse.present.decisions import exported
from recuse.rejector import Rejector

if TYPE_CHECKING:
    from torch import Tensor

    from recuse.export import SelectiveModule

DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")
CHECKED = 17  # least number of random inputs
NO_MODEL = "the model that gives them is unknown; `recuse predict` decides on a table of them"
FORM = "--example 1,3,32,32, or 1,128:int64"


def export(
    rejector_path: Annotated[
        Path, typer.Argument(metavar="REJECTOR", help="The rejector, written by `recuse fit`.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="path.py:function, your function that returns the trained torch module.",
        ),
    ],
    example: Annotated[
        list[str],
        typer.Option(
            "--example",
            help="Shape of an input, batch first: 1,3,32,32, or 1,128:int64. Once for each input.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")] = Path(
        "model.onnx"
    ),
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check",
            help="A .npy file of real inputs on which to compare decisions, once for each input. "
            "[default: random inputs]",
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a model and its rejector as one ONNX file.

    Its outputs are logits, label, confidence, accept and p_correct. The file is checked in
    onnxruntime before it is written: if any decision differs from that of `recuse predict` on the
    same logits, nothing is written and the exit code is 1.
    """
    check_ending(out, ".onnx")
    refuse_overwrite(out, force, rejector_path, *(check or ()))
    shapes = [_shape(text) for text in example]
    rejector = Rejector.load(rejector_path)
    refuse_confidences(rejector.kind, NO_MODEL)
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        extra(package, "onnx", "export to ONNX")
    from recuse.export import check_onnx, to_module, to_onnx
    from recuse.export._onnx import random_inputs, read_inputs

    with redirect_stdout(sys.stderr):  # output of the user's code is not a result
        network = load_function(model)()
        with naming(model):
            module = to_module(network, rejector)
        inputs = random_inputs(shapes, seed)
        rows = max(CHECKED, 1 + len(inputs[0]))  # a batch size other than that of the export
        real = read_inputs(check, inputs) if check else random_inputs(shapes, seed + 1, rows)
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
        for line in exported(out, rejector, parity, "given" if check else "random"):
            terminal.say(line)


def _run(spec: str, module: SelectiveModule, inputs: tuple[Tensor, ...]) -> None:
    """Run the model once; any error but an InputError is the user's."""
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
    """Parse sizes and dtype from `1,3,32,32` or `1,128:int64`."""
    sizes, _, dtype = text.partition(":")
    dtype = dtype or "float32"
    parts = sizes.split(",")
    if dtype not in DTYPES or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise InputError(f"expected {FORM} with a dtype among {', '.join(DTYPES)}, got {text!r}")
    return [int(part) for part in parts], dtype
