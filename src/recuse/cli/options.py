"""Options that several commands share, and how their values are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.check import check_fraction
from recuse.errors import InputError
from recuse.evaluation._measures import COVERAGES, RISKS
from recuse.io._checked import MULTILABEL
from recuse.io._rows import CONFIDENCES
from recuse.scores import SOFTMAX_FAMILY, Score
from recuse.scores._score import OF_CONFIDENCES

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print neither results nor progress.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", min=1, help="Number of seeds; the models of a seed differ in their loss alone."
    ),
]
Binary = Annotated[
    bool,
    typer.Option("--binary", help="The outputs are one column, the logit of the second class."),
]
Probs = Annotated[bool, typer.Option("--probs", help="The outputs are probabilities.")]
Multilabel = Annotated[
    bool,
    typer.Option(
        "--multilabel",
        help="Outputs and labels are (n, L), labels 0 or 1: each label is a binary decision.",
    ),
]
IgnoreIndex = Annotated[
    int | None, typer.Option("--ignore-index", help="Label of predictions to leave out.")
]
Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        help="Groups of dependent rows (replicates, frames): a .npy file, or a text file of one "
        "line a row. Used where the file has no `groups` of its own.",
    ),
]
RepeatedIds = Annotated[
    str,
    typer.Option(
        "--repeated-ids",
        help="refuse, or keep_one: use one row of each id, where a sampler repeated rows.",
    ),
]
SubgroupTable = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="COLUMN|FILE.csv",
        help="Subgroups that get a table of their own on the page: a column of the files, or a "
        ".csv of id and subgroup.",
    ),
]
Risk = Annotated[
    list[str], typer.Option("--risk", help="Report the coverage at these risks, such as 0.01,0.05.")
]
Coverage = Annotated[
    list[str],
    typer.Option("--coverage", help="Report the risk at these coverages, such as 0.2,0.8."),
]
TargetRisk = Annotated[
    float, typer.Option("--target-risk", help="Largest error rate of accepted predictions.")
]
Delta = Annotated[
    float, typer.Option("--delta", help="Largest probability that the guarantee fails.")
]
Among = Annotated[
    str,
    typer.Option(
        "--among",
        help="accepted: at most the target risk of accepted predictions are wrong; all: at most "
        "the target risk of all predictions are accepted and wrong.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Name of the model; predict warns of outputs of another."
    ),
]
ClassNames = Annotated[
    Path | None, typer.Option("--classes", help="Text file of class names, one a line.")
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        help="Measure that a repair must improve on the tuning split: aurc, augrc, or coverage "
        "(at the target risk).",
    ),
]
Learned = Annotated[
    bool,
    typer.Option("--learned/--no-learned", help="Also try a score learned on the tuning split."),
]


def kind_of(
    binary: bool,
    probs: bool,
    multilabel: bool = False,
    logits: bool = False,
    confidences: bool = False,
) -> str | None:
    """Return the declared input kind; None if the file is to say."""
    declared = {"binary": binary, "probs": probs, MULTILABEL: multilabel, "logits": logits}
    declared |= {CONFIDENCES: confidences}
    found = [kind for kind, given in declared.items() if given]
    if len(found) > 1:
        raise InputError(f"expected --{found[0]} or --{found[1]}, got both")
    return found[0] if found else None


def scores_of(specs: list[str], kind: str | None) -> list[Score]:
    """Parse the scores of a repeatable option; a comma inside parentheses belongs to the score."""
    parts, depth = [""], 0
    for char in ",".join(specs):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    scores = [Score.parse(part) for part in parts if part.strip()]
    if not scores:
        raise InputError(f"expected --score with a name such as msp, got {specs!r}")
    for score in scores:
        if score.name in OF_CONFIDENCES:
            raise InputError(
                f"expected --score of logits, got {score}, which is that of confidences"
            )
        if kind == "probs" and score.name not in SOFTMAX_FAMILY:
            raise InputError(
                f"expected a score of {', '.join(SOFTMAX_FAMILY)} with --probs, got {score}: "
                "the logarithm of a probability has lost the shift of the logits"
            )
    return scores


def levels_of(risk: list[str], coverage: list[str]) -> dict[str, tuple[float, ...]]:
    """Parse and check the levels of points on the curve, before any file is read."""
    risks = numbers(risk, RISKS, "risk")
    coverages = numbers(coverage, COVERAGES, "coverage")
    for level in risks:
        check_fraction(level, "risk", zero=True, one=True)
    for level in coverages:
        check_fraction(level, "coverage", one=True)
    return {"risks": risks, "coverages": coverages}


def named(pairs: list[str], form: str) -> dict[str, str]:
    """Parse NAME=VALUE pairs in the order given; `form` names them in errors."""
    out: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not (name and value):
            raise InputError(f"expected {form}, got {pair!r}")
        if name in out:
            raise InputError(f"expected {form} with names that differ, got {name!r} twice")
        out[name] = value
    return out


def by_class(text: str | None, name: str) -> dict[str, float]:
    """Parse sick=0.02,healthy=0.01; empty where there is no equals sign."""
    if text is None or "=" not in text:
        return {}
    found: dict[str, float] = {}
    for part in text.split(","):
        label, sign, number = part.rpartition("=")
        label = label.strip()
        try:
            value = float(number)
        except ValueError:
            sign, value = "", 0.0
        if not (sign and label) or label in found:
            raise InputError(f"expected --{name} such as sick=0.02,healthy=0.01, got {text!r}")
        found[label] = value
    return found


def numbers(values: list[str], default: tuple[float, ...], name: str) -> tuple[float, ...]:
    """Parse the numbers of a repeatable option; each use may hold several, between commas."""
    parts = [part for value in values for part in value.split(",") if part.strip()]
    try:
        return tuple(float(part) for part in parts) or default
    except ValueError:
        raise InputError(f"expected numbers for --{name}, got {','.join(parts)!r}") from None
