"""`recuse diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import read
from recuse.cli.options import Binary, Groups, IgnoreIndex, Json, Probs, Quiet, Seed, kind_of
from recuse.diagnosis import Diagnosis, Geometry, Gradient, MaxLogit, Smoothing, diagnose
from recuse.errors import InputError
from recuse.io import naming, reading
from recuse.present import terminal
from recuse.present.numbers import percent

FEATURES = ("features", "weights", "bias")
Features = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="A .npz or .safetensors with `features` (n, D), the input of the last layer, and its "
        "`weights` (K, D) and, if it has one, `bias` (K,).",
    ),
]


def diagnose_(
    file: Annotated[Path, typer.Argument(help="Labelled logits that were not trained on.")],
    features: Features = None,
    groups: Groups = None,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Was this model trained with label smoothing, did that hurt its confidence, and what to do?

    From held-out logits alone: the verdict, the evidence, a recommendation. The logits must be
    those of training: temperature scaling hides what is looked for.
    """
    kind = kind_of(binary, probs)
    if features is not None and probs:
        raise InputError("expected --features with logits, got --probs")
    data = read(file, kind=kind, ignore_index=ignore_index, groups=groups)
    layer: dict[str, Any] = {} if features is None else read_features(features)
    z, labels = data.labelled()
    where = str(file) if features is None else f"{file} and {features}"
    with naming(where), terminal.working("diagnosing", quiet=quiet):
        found = diagnose(z, labels, groups=data.groups, kind=kind, seed=seed, **layer)
    if as_json:
        print(to_json({"file": str(file), **found.to_dict()}))
    elif not quiet:
        terminal.say(found.sentence)
        terminal.table(("evidence", "value", "95 % interval", "to compare"), _evidence(found))
        terminal.say(found.recommendation)


def read_features(path: Path) -> dict[str, np.ndarray]:
    """`features`, `weights` and possibly `bias` of one file."""
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError(f"{path}: expected features in .npz or .safetensors, got {path.suffix!r}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with reading(path):
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
        else:
            from safetensors.numpy import load_file

            arrays = load_file(path)
    if not {"features", "weights"} <= set(arrays) <= set(FEATURES):
        raise InputError(
            f"{path}: expected arrays `features`, `weights` and optionally `bias`, "
            f"got {', '.join(sorted(arrays)) or 'none'}"
        )
    return arrays


def _evidence(d: Diagnosis) -> list[tuple[str, str, str, str]]:
    rows = [*_level(d.smoothing), _shape(d)]
    if d.max_logit is not None and d.gradient is not None:
        rows += _maximum(d.max_logit, d.gradient)
    rows.append(_repair(d))
    return rows if d.geometry is None else [*rows, *_distances(d.geometry)]


def _level(s: Smoothing) -> list[tuple[str, str, str, str]]:
    other = "" if s.value == s.by_scale else f"by scale: {s.by_scale:.3f}"
    fitted = ("fitted smoothing", f"{s.value:.3f}", _between(s.low, s.high, 3), other)
    if not s.value > 0:
        return [fitted]
    return [fitted, ("above its ceiling", percent(s.above, 1), "", f"ceiling: {s.ceiling:.3f}")]


def _shape(d: Diagnosis) -> tuple[str, str, str, str]:
    return d.shape.measure, f"{d.shape.value:.3f}", "", f"smoothing: below {d.shape.limit:.3f}"


def _maximum(m: MaxLogit, g: Gradient) -> list[tuple[str, str, str, str]]:
    difference = _between(m.low, m.high, 3)
    return [
        (
            "max logit, wrong - right",
            f"{m.difference:.3f}",
            difference,
            f"{m.relative:.2f} sd, at equal MSP",
        ),
        (
            "P_error per logit",
            f"{g.slope:.3f}",
            _between(g.low, g.high, 3),
            "smoothing: positive",
        ),
    ]


def _distances(g: Geometry) -> list[tuple[str, str, str, str]]:
    own, others = "to own template, squared", "unevenness of the others"
    return [
        (own, f"{g.own_right:.3g}", "", f"right; wrong: {g.own_wrong:.3g}"),
        (others, f"{g.spread_right:.3f}", "", f"right; wrong: {g.spread_wrong:.3f}"),
    ]


def _repair(d: Diagnosis) -> tuple[str, str, str, str]:
    name = "AURC lowered by a repair"
    if not np.isfinite(d.gain):
        return name, "-", "", "not judged"
    return name, percent(d.gain, 1), f"+- {percent(d.gain_se, 1)} (s.e.)", "cross-fitted"


def _between(low: float, high: float, digits: int) -> str:
    return f"{low:.{digits}f} to {high:.{digits}f}"
