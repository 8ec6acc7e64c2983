"""Models x scores x thresholds -> one plain dataclass.

n = measured predictions: of the test split or, where there is none, those that calibrate.
K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse._internal import public
from recuse._internal.check import (
    check_delta,
    check_fraction,
    check_named,
    check_seed,
    check_sequence,
)
from recuse.diagnosis import Diagnosis, diagnose
from recuse.diagnosis._rows import zeros
from recuse.errors import InputError
from recuse.evaluation._deployed import deployed
from recuse.evaluation._measures import COVERAGES, RISKS
from recuse.evaluation._model import SPLITS, ModelEvaluation, checked_split, measured
from recuse.io import HeldOut, overlap
from recuse.io._checked import naming
from recuse.io._rows import of_classes
from recuse.io._tables import is_frame
from recuse.present import evaluation as shown
from recuse.present.picture import draw_curves
from recuse.present.run import ZEROS, Verdict, rows_of, verdict_lines
from recuse.rejector import Data, Rejector, choose
from recuse.rejector._prepare import each_id_once, whole
from recuse.selectors._guarantee import ACCEPTED
from recuse.selectors._recheck import check_method
from recuse.tuning._tune import measure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

POINTS = 200  # of the curve in a notebook


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All models, evaluated alike: plain data for tables and pictures."""

    models: tuple[ModelEvaluation, ...]
    target_risk: float
    delta: float
    risks: tuple[float, ...]
    coverages: tuple[float, ...]

    def __getitem__(self, name: str) -> ModelEvaluation:
        for model in self.models:
            if model.name == name:
                return model
        names = ", ".join(m.name for m in self.models)
        raise InputError(f"expected a model of {names}, got {name!r}")

    def _rows(self) -> list[shown.Row]:
        return [_row(m, self.target_risk) for m in self.models]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curve of each model by its chosen score, and return the axes.

        On new axes of `pyplot` if none are given; needs the extra `plots`.
        """
        found = {
            f"{m.name}, {m.tuned.score}": curves.risk_coverage(m.confidence, m.loss)
            for m in self.models
        }
        return draw_curves(found, ax)

    def __repr__(self) -> str:
        return shown.text(self._rows(), self.delta)

    def __rich__(self) -> Table:
        return shown.table(self._rows(), self.delta)

    def _repr_html_(self) -> str:
        return shown.html(self._rows(), self.delta)


def _row(m: ModelEvaluation, target_risk: float) -> shown.Row:
    """Return what a table shows of one model, and its curve at a few points, both ends kept."""
    curve = curves.thin(curves.risk_coverage(m.confidence, m.loss), POINTS)
    return shown.Row(
        m.name,
        m.n,
        m.accuracy,
        m.before.aurc,
        m.after.aurc,
        str(m.tuned.score),
        target_risk if m.rejector else None,
        m.accepted / m.n,
        m.errors / m.accepted if m.accepted else float("nan"),
        list(zip(curve.coverage.tolist(), curve.risk.tolist())),
        m.baseline,
        m.tested,
        m.selection.guarantee.among,
    )


@public
def evaluate(
    models: Mapping[str, Mapping[str, Data] | Data] | Data,
    *,
    target_risk: float = 0.05,
    delta: float = 0.05,
    among: str = ACCEPTED,
    objective: str = "aurc",
    learned: bool = True,
    kind: str | None = None,
    risks: Sequence[float] = RISKS,
    coverages: Sequence[float] = COVERAGES,
    seed: int = 0,
    repeated_ids: str = "refuse",
    rejector: Rejector | None = None,
    by: str | None = None,
    progress: bool = True,
) -> Evaluation:
    """Repair, select and measure every model.

    Score and threshold come from `tune` and `calibrate`, or from one file by the rule of `fit`.
    Numbers are measured on `test`, on which nothing was chosen; where there is no such split, on
    the calibration rows, and the result says so.

    Args:
        models: Name -> {"tune": ..., "calibrate": ..., "test": ...}, each (logits, labels) or a
            `HeldOut`; without "tune" `fit` chooses from "calibrate" alone. Or name -> one file.
            Or one file alone, whose name becomes that of the model.
        target_risk: Largest risk that a threshold may have.
        delta: Probability that the guarantee fails.
        among: What the target is a share of, as in `fit`; `report` takes "accepted" alone.
        objective: Measure that a repair must improve on `tune`, as in `fit`.
        learned: Whether to try the learned score, as in `fit`.
        kind: Input kind of (outputs, labels), as in `fit`: with "probs" MSP is the only score,
            with "confidences" the first column takes its place.
        risks: Levels of coverage_at_risk.
        coverages: Levels of risk_at_coverage.
        seed: As in `fit`.
        repeated_ids: "refuse" rows of one id, or "keep_one", as in `fit`.
        rejector: Measure this one on the test split, or on one file, of the only model, and fit
            nothing. Target and delta are those of its guarantee.
        by: The column of subgroups of the file, where the thresholds of the rejector are theirs.
        progress: Show a bar of the models, on a terminal or in a notebook.

    Raises:
        InputError: No model, a split is missing, malformed input, splits that overlap, or a
            rejector of another model, or without a guaranteed risk.
    """
    alone = isinstance(models, HeldOut | tuple) or is_frame(models)
    given: Any = {_name_of(models): models} if alone else models
    models = check_named(given, "models", '{"net": {"tune": ..., ...}, ...}')
    if not models:
        raise InputError("expected at least one model, got none")
    measure_of(objective, check_fraction(target_risk, "target_risk"))
    check_delta(delta), check_seed(seed), check_method("auto", among)
    levels = {
        "risks": check_sequence(risks, "`risks`"),
        "coverages": check_sequence(coverages, "`coverages`"),
    }
    chosen_by = {
        "target_risk": target_risk,
        "delta": delta,
        "among": among,
        "objective": objective,
        "learned": learned,
        "kind": kind,
        "seed": seed,
        "repeated_ids": repeated_ids,
    }
    if by is not None and rejector is None:
        raise InputError("expected `by` beside a rejector whose thresholds are those of subgroups")
    if rejector is not None:
        found = deployed(models, rejector, by, levels, kind, repeated_ids)
        target = found.selection.guarantee.target_risk
        return Evaluation((found,), target, rejector.delta, **levels)
    from recuse.present.terminal import bar

    done = []
    for name in bar(models, "evaluating", show=progress):
        splits = models[name]
        if isinstance(splits, HeldOut | tuple) or is_frame(splits):
            splits = {"calibrate": splits}
        splits = check_named(splits, f"splits of model {name!r}", '{"tune": ..., ...}')
        if "calibrate" not in splits:
            raise InputError(f"model {name!r}: expected the split `calibrate`, got none")
        if unknown := set(splits) - set(SPLITS):
            raise InputError(
                f"model {name!r}: expected the splits {', '.join(SPLITS)}, got {min(unknown)!r}"
            )
        done.append(_evaluate_model(name, splits, levels, chosen_by))
    return Evaluation(tuple(done), target_risk, delta, **levels)


def _name_of(data: Any) -> str:
    """Return a name for the model of one file: that of the file, if it has one."""
    name = getattr(data, "name", "")
    return "model" if not name or not Path(name).suffix else Path(name).stem


def _evaluate_model(
    name: str, splits: Mapping[str, Data], levels: dict[str, Any], chosen_by: dict[str, Any]
) -> ModelEvaluation:
    kind, once = chosen_by["kind"], chosen_by["repeated_ids"]
    files = {s: checked_split(splits, s, name, kind, once) for s in SPLITS if s in splits}
    test = files.get("test")
    for split in ("tune", "calibrate"):
        if test is None or split not in files:
            continue
        other = files[split]
        if other.logits.shape[1] != test.logits.shape[1]:
            shapes = f"{other.logits.shape[1]} and {test.logits.shape[1]}"
            raise InputError(
                f"model {name!r}: expected {split} and test of the same number of classes, "
                f"got {shapes}"
            )
        if shared := overlap(other, test):
            raise InputError(f"model {name!r}: expected disjoint {split} and test, got {shared}")
    with naming(f"model {name!r}"):
        choice = choose(*(files[s] for s in ("tune", "calibrate") if s in files), **chosen_by)
    tested = test is not None
    test = choice.calibrate if test is None else test
    confidence = choice.tuned.confidence(test.logits)
    return measured(
        name,
        test,
        confidence,
        confidence >= np.float32(choice.selection.threshold),
        levels,
        measure_of(chosen_by["objective"], chosen_by["target_risk"]),
        tuned=choice.tuned,
        selection=choice.selection,
        rejector=choice.rejector,
        digests={split: file.digest for split, file in files.items()},
        sizes={split: len(file) for split, file in files.items()},
        tested=tested,
        cut=choice.cut,
    )


@dataclass(frozen=True, eq=False)
class Run:
    """One model from held-out rows to a rejector; `print` shows the verdict."""

    parts: Mapping[str, HeldOut]  # split -> rows; of one file "calibrate"
    evaluation: Evaluation  # of this model alone
    diagnosis: Diagnosis | None  # None where `untold`, and of confidences
    untold: str | None = None  # why there is no diagnosis

    @property
    def model(self) -> ModelEvaluation:
        """Score, threshold and what they do."""
        return self.evaluation.models[0]

    @property
    def rejector(self) -> Rejector | None:
        """What to deploy; None if no threshold has the guarantee."""
        return self.model.rejector

    def lines(
        self, deploy: str | None = None, page: str | None = None, more: str | None = None
    ) -> list[str]:
        """Return the verdict, one fact a line.

        Args:
            deploy: How to deploy the rejector.
            page: Path of a report that was written.
            more: What else was written.
        """
        m, target = self.model, self.evaluation.target_risk
        d, cut = self.diagnosis, rows_of(m)
        classes = m.classes if of_classes(m.kind) else None
        training = self.untold if d is None else d.sentence
        told = (classes, m.tuned.reason, m.selection, target, m, cut, training)
        return list(verdict_lines(Verdict(*told, deploy, page, more)))

    def __str__(self) -> str:
        return "\n".join(self.lines('save `rejector` (rejector.save("rejector.json"))'))


@public
def run(
    held_out: Data,
    *,
    target_risk: float = 0.05,
    delta: float = 0.05,
    among: str = ACCEPTED,
    learned: bool = True,
    kind: str | None = None,
    repeated_ids: str = "refuse",
    seed: int = 0,
    name: str = "model",
) -> Run:
    """Diagnose a model, choose its score and a threshold with a guarantee, in one go.

    All rows are used, by the rule of `fit`; no part is set aside to test. If no threshold has the
    guarantee, the result says so, and what would be feasible.

    Args:
        held_out: A `HeldOut`, or outputs (n, K, ...) and labels (n, ...); not training data.
        target_risk: As in `fit`.
        delta: As in `fit`.
        among: As in `fit`.
        learned: As in `fit`.
        kind: As in `fit`.
        repeated_ids: As in `fit`.
        seed: As in `fit`.
        name: Name of the model in tables.

    Raises:
        InputError: Malformed input.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 3000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(3000, 3))
    >>> found = run((logits, labels), target_risk=0.05)
    >>> [line.partition(":")[0] for line in str(found).splitlines()]
    ['Model', 'Training', 'Rows', 'Score', 'Guarantee', 'Not measured', 'Deploy']
    >>> found.rejector.threshold == found.model.selection.threshold
    True
    """
    check_fraction(target_risk, "target_risk"), check_delta(delta), check_seed(seed)
    rows = each_id_once(whole(held_out, "held_out", kind), repeated_ids)
    options: dict[str, Any] = {"target_risk": target_risk, "delta": delta, "learned": learned}
    found = evaluate({name: rows}, **options, among=among, seed=seed, progress=False)
    parts = {"calibrate": rows}
    if not of_classes(rows.kind):
        return Run(parts, found, None)
    if zeros(rows.predictions().logits, rows.kind).any():
        return Run(parts, found, None, ZEROS)
    return Run(parts, found, diagnose(rows, seed=seed))
