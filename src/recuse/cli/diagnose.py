"""`recuse diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import read
from recuse.cli.options import Binary, Groups, IgnoreIndex, Json, Probs, Quiet, Seed, kind_of
from recuse.diagnosis import diagnose
from recuse.diagnosis._geometry import read_features
from recuse.errors import InputError
from recuse.io._checked import naming
from recuse.present import terminal
from recuse.present.diagnosis import EVIDENCE, evidence

Features = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="A .npz or .safetensors with `features` (n, D), the input of the last layer, its "
        "`weights` (K, D), and its `bias` (K,) if it has one.",
    ),
]


def diagnose_(
    file: Annotated[Path, typer.Argument(help="Labelled held-out file or table.")],
    features: Features = None,
    groups: Groups = None,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell from held-out logits whether a model was trained with label smoothing.

    Prints the verdict, the evidence and the score to use. The logits must be those of training:
    temperature scaling hides the fingerprint.
    """
    kind = kind_of(binary, probs)
    data = read(file, kind=kind, ignore_index=ignore_index, groups=groups)
    if features is not None and data.kind == "probs":
        raise InputError("expected --features with logits, got probabilities")
    layer: dict[str, Any] = {} if features is None else read_features(features)
    data.labelled()
    where = str(file) if features is None else f"{file} and {features}"
    with naming(where), terminal.working("diagnosing", quiet=quiet):
        found = diagnose(data, seed=seed, **layer)
    if as_json:
        print(to_json({"file": str(file), **found.to_dict()}))
    elif not quiet:
        terminal.say(found.sentence)
        terminal.table(EVIDENCE, evidence(found))
        terminal.say(found.recommendation)
