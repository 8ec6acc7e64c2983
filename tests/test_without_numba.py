"""Everything that has loops of numba, in a process without it, against this one.

`python tests/test_without_numba.py OUT` writes the answers of a process without numba.
"""

import contextlib
import dataclasses
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import ml_dtypes
import numpy as np
import pytest

import recuse as rc
from recuse import _kernels
from samples import equal_costs, learned_score, masked, pixels, sample

ROWS = 1 << 15  # enough for every loop
SUMS = 1e-13  # relative: float64 in another order
LOSS = 2e-6  # as in test_losses_fused.py: float32 by torch, and gradients times n
COMMANDS = (
    "evaluate test.npz --score msp --score logit_norm(p=3)",
    "compare test.npz --score msp --score-b margin",
    "diagnose tune.npz",
    "fit --tune tune.npz --calibrate calibrate.npz --target-risk 0.1 --out rejector.json",
    "predict rejector.json test.npz --out decisions.csv",
    "sketch test.npz --out sketch.npz",
)


def answers():
    """Yield each call and command with what it answers."""
    z, y = sample(ROWS, 7)
    c, wrong = rc.scores.msp(z).round(2), z.argmax(axis=1) != y
    parts = {name: (z[i::12], y[i::12]) for i, name in enumerate(("tune", "calibrate", "test"))}
    yield from scored(z)
    yield from calibrated(c, wrong, z, y)
    yield from measured(c, wrong)
    yield from selected(c, wrong)
    yield from commanded(parts)
    yield from losses()


def scored(z):
    many = sample(600, 200)[0]
    forms = {"few": z, "many": many, "impossible": masked(many), "pixels": pixels(40)[0]}
    for form, logits in forms.items():
        of_costs = {
            "temperature": 1.3,
            "costs": tuple(equal_costs(logits.shape[1]).ravel().tolist()),
        }
        by_costs = rc.scores.Score("expected_cost", of_costs)
        for score in (*map(rc.scores.Score, rc.scores.SCORES), learned_score(), by_costs):
            yield f"{score.name} of {form}", score(logits)
        yield f"norms of {form}", rc.scores.logit_norms(logits, ps=(1, 2, 3.5, 8))
        yield f"features of {form}", rc.scores.features(logits)
        yield f"predict of {form}", rc.scores.predict(logits)


def calibrated(c, wrong, z, y):
    for name in ("nll", "brier", "classwise_ece", "fit_temperature"):
        yield name, getattr(rc.calibration, name)(z, y)
    for name in ("ece", "equal_mass_ece", "smooth_ece", "reliability", "top_label_brier"):
        yield name, getattr(rc.calibration, name)(rc.scores.as_probability(c), wrong)


def measured(c, wrong):
    of = rc.intervals
    yield "summary", rc.curves.summarize(c, wrong, risks=(0.01, 0.05), coverages=(0.2, 0.8))
    yield "curve", rc.risk_coverage(c, wrong)
    yield "curve of losses", rc.risk_coverage(c, wrong * 0.3)
    for measure in (of.AURC, of.AUGRC, of.E_AURC, of.coverage_at(0.05), of.risk_at(0.8)):
        yield f"interval of {measure.name}", of.interval(c, wrong, measure)
        yield f"comparison by {measure.name}", of.compare(c, wrong, -c, wrong, measure)
        for weights in ("multinomial", "poisson"):
            drawn = of.bootstrap(c, wrong, measure, replicates=5, weights=weights).replicates
            yield f"bootstrap of {measure.name}, {weights}", drawn
    for scale in ("log_odds", "float", "float16", "bfloat16"):
        given = c.astype(getattr(ml_dtypes, scale, scale)) if "16" in scale else c
        sketch = rc.CurveSketch(scale).update(given, wrong)
        yield f"sketch of {scale}", [sketch.aurc(), sketch.augrc(), sketch.coverage_at_risk(0.05)]


def selected(c, wrong):
    tune, rest = (c[::2], wrong[::2]), (c[1::2], wrong[1::2])
    for method in rc.selectors.METHODS:
        yield method, rc.select(*rest, target_risk=0.1, method=method, tune=tune)
    yield "coverage", rc.selectors.select_coverage(c, coverage=0.5)
    yield "cost", rc.selectors.select_cost(*rest, cost_error=5, cost_abstain=1, tune=tune)
    yield "points", rc.selectors.band(*rest, tune=tune)
    for bound in (rc.bounds.betting_upper, rc.bounds.betting_p_value):
        yield bound.__name__, bound(wrong[:500], 0.3)


def commanded(parts):
    from recuse.cli import main

    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, part in parts.items():
            rc.write_logits(f"{name}.npz", *part)
        for command in COMMANDS:
            sys.argv[1:] = command.split()
            with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as end:
                main()
            yield f"recuse {command}", [end.value.code or 0, out.getvalue()]
        rejector = rc.Rejector.load("rejector.json")
    decided = rejector.predict(parts["test"][0])
    monitor = rc.Monitor(rejector)
    monitor.update(np.arange(decided.accept.size), decided.accept)
    yield "threshold", [rejector.threshold, str(rejector.guarantee)]
    yield "decisions", decided
    yield "monitor", monitor.verdict
    yield "evaluation", str(rc.evaluate({"net": parts}, progress=False))


def losses():
    import torch

    draw = torch.Generator().manual_seed(0)
    for shape in ((64, 1000), (2, 19, 40, 40)):
        logits = torch.randn(shape, generator=draw).requires_grad_()
        labels = torch.randint(shape[1], shape[:1] + shape[2:], generator=draw)
        loss = rc.losses.smoothed_cross_entropy(logits, labels, 0.1)
        loss.backward()
        yield f"loss {shape}", [loss.detach().numpy(), logits.grad.numpy() * labels.numel()]


def flat(value):
    """Yield the numbers, texts and arrays of a result."""
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        value = value.items()
    if isinstance(value, str | np.ndarray) or not hasattr(value, "__iter__"):
        yield value
    else:
        for part in value:
            yield from flat(part)


def test_all_answers_are_the_same_without_numba(tmp_path, monkeypatch):
    out = tmp_path / "answers"
    command = [sys.executable, __file__, str(out)]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}) as without:
        monkeypatch.setattr(sys, "argv", ["recuse"])
        monkeypatch.setattr(_kernels, "repays", lambda seconds: True)
        loops = {name: [*flat(value)] for name, value in answers()}
    assert without.returncode == 0
    found = pickle.loads(out.read_bytes())
    assert found.keys() == loops.keys()
    for name, values in loops.items():
        limits = (LOSS, LOSS) if name.startswith("loss") else (SUMS, 0)
        for ours, theirs in zip(found[name], values, strict=True):
            if isinstance(theirs, str | None):
                assert ours == theirs, name
            else:
                np.testing.assert_allclose(ours, theirs, *limits, err_msg=name)


def test_a_numba_that_cannot_be_imported_counts_as_absent(tmp_path, monkeypatch):
    """As one that is too old for NumPy."""
    (tmp_path / "numba.py").write_text("raise SystemError('initialization of _internal failed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not _kernels.installed.__wrapped__()


if __name__ == "__main__":
    sys.modules["numba"] = None
    _kernels._spent, out = _kernels.START, Path(sys.argv[1])
    out.write_bytes(pickle.dumps({name: [*flat(value)] for name, value in answers()}))
