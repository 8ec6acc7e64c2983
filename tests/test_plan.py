"""How many rows to label: against slow definitions and `rows_needed`, and in a real process."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from tests.validity.plan import POPULATIONS, accepted, truth

import recuse as rc
from answers import one_line, plain
from recuse import InputError, plan, write_logits
from recuse.present.numbers import about
from recuse.rejector import LabelPlan, choose, fit_several
from recuse.rejector._cut import ENOUGH
from recuse.rejector._fit import Options, _parts, _selection
from recuse.selectors import select
from recuse.selectors._labels import Law, accepted_needed, logistic, needed, reached

STEP = 1.05  # by which an argument grows: the integers of a count move the rows by a few
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=40)


def least_area(error):
    """The AURC of a perfect ranking."""
    return error + (1 - error) * math.log1p(-error)


@st.composite
def models(draw):
    """Accuracy and an AURC that some ranking has."""
    error = draw(st.floats(0.01, 0.5))
    at = draw(st.floats(0, 0.9))
    least = least_area(error)
    return {"accuracy": 1 - error, "aurc": least + at * (error - least)}


def rows(**numbers):
    found = plan(**numbers)
    return math.inf if found.rows is None else found.rows


@EXAMPLES
@given(models(), st.floats(0.005, 0.2), st.floats(0.01, 0.2))
def test_a_larger_target_and_a_larger_delta_need_fewer_rows(model, target, delta):
    asked = rows(**model, target_risk=target, delta=delta)
    assert rows(**model, target_risk=target * STEP, delta=delta) <= asked
    assert rows(**model, target_risk=target, delta=delta * STEP) <= asked


@EXAMPLES
@given(models(), st.floats(0.005, 0.2))
def test_a_better_ranking_needs_fewer_rows(model, target):
    error = 1 - model["accuracy"]
    better = {**model, "aurc": max(model["aurc"] / STEP, least_area(error))}
    assert rows(**better, target_risk=target) <= rows(**model, target_risk=target)


@EXAMPLES
@given(models(), st.floats(0.005, 0.2))
def test_more_rows_accept_more_but_never_more_than_the_target_allows(model, target):
    found = plan(**model, target_risk=target)
    assert found.feasible == (found.coverage is not None) == bool(found.more)
    assert str(found).count("\n") <= 2
    if found.feasible:
        covered = [found.coverage, *(coverage for _, coverage in found.more)]
        assert covered[0] > 0
        assert covered == sorted(covered)
        assert covered[-1] <= found.largest_coverage <= 1
        assert [n / found.rows for n, _ in found.more] == [2, 5]
        assert found.rows >= found.error_free_rows
        assert found.tuning == (0.2 if found.rows >= ENOUGH else 0)


@EXAMPLES
@given(st.floats(0, 0.2), st.floats(0.05, 0.3), st.floats(0.01, 0.2))
def test_accepted_rows_are_counted_as_by_trying_each_number(risk, above, level):
    """Between the first number that passes and the one after the last that fails."""
    target = risk + above
    n = np.arange(1, 4000)
    errors = np.ceil(n * risk + 0.84 * np.sqrt(n * risk * (1 - risk)))
    passes = binom.cdf(errors, n, target) <= level
    (found,) = accepted_needed(np.array([risk]), target, level)
    assert n[passes][0] <= found <= n[~passes][-1] + 1
    assert passes[int(found) - 1]


@EXAMPLES
@given(models())
def test_a_risk_that_levels_off_has_the_same_two_numbers_and_a_straight_line_of_log_odds(model):
    error, ranks = 1 - model["accuracy"], np.arange(1, 2001) / 2000
    assume(model["aurc"] > 1.05 * least_area(error))  # a perfect ranking is a jump
    law = Law(error, model["aurc"], ranks)
    found = logistic(law)
    assert found.risk[-1] == pytest.approx(error)
    middle = logistic(law._replace(coverage=ranks - 1 / 4000)).risk
    assert middle.mean() == pytest.approx(model["aurc"], rel=0.01)
    rate = np.diff(found.risk * ranks) * 2000
    inside = (rate > 1e-6) & (rate < 1 - 1e-6)
    bends = np.diff(np.log(rate / (1 - rate))[inside], n=2)
    assert np.abs(bends).max(initial=0) < 1e-3


@EXAMPLES
@given(models(), st.floats(0.005, 0.2))
def test_a_risk_that_levels_off_needs_no_fewer_rows(model, target):
    found = plan(**model, target_risk=target)
    assert found.low == found.rows
    assert found.high is None or found.high >= found.rows
    if found.feasible:
        apart = found.high is None or about(found.high) != about(found.rows)
        assert ("if the risk levels off" in str(found).splitlines()[0]) == apart


@EXAMPLES
@given(models(), st.integers(20, 5000), st.floats(0.01, 0.2))
def test_the_expected_coverage_is_the_last_that_passes(model, n, target):
    error, coverage = 1 - model["accuracy"], np.linspace(0.02, 1, 50)
    law = Law(error, model["aurc"], coverage)
    found = reached(law, n, target, 0.05)
    assert found in (0, *coverage)
    assert found <= law.within(target) + 1e-9


def sample(n, seed=0, classes=5):
    """Logits, labels; the accuracy rises with the largest logit."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, classes)) + rng.uniform(0, 6, (n, 1)) * np.eye(classes)[
        labels
    ], labels


def probs_of(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("target", [0.005, 0.01, 0.02])
def test_a_failed_fit_names_as_many_rows(target):
    z, y = sample(300)
    held_out = probs_of(z), y
    found = plan(held_out, target_risk=target, kind="probs")
    failed = choose(held_out, target_risk=target, kind="probs").selection
    assert found.rows == failed.rows_needed > 300
    assert ", ranked by MSP; " in str(found)
    numbers = plan(accuracy=found.accuracy, aurc=found.aurc, target_risk=target, delta=0.05 / 0.8)
    if found.rows < ENOUGH:  # two numbers are planned at 80 % of delta
        assert numbers.rows == pytest.approx(found.rows, rel=0.03)


@pytest.mark.parametrize("target", [0.01, 0.02])
def test_each_score_of_logits_is_planned_at_its_share_of_delta(target):
    z, y = sample(300)
    found = plan((z, y), target_risk=target)
    failed = choose((z, y), target_risk=target).selection
    wrong = (z.argmax(axis=1) != y).astype(float)
    each = {"msp": (rc.scores.msp(z), 0.8), "logit_norm(p=4, center=true)": (norm(z), 0.2)}
    alone = {
        name: select(c, wrong, target_risk=target, delta=share * 0.05).rows_needed
        for name, (c, share) in each.items()
    }
    assert found.rows == min(alone.values()) == alone[found.score]
    assert failed.rows_needed in alone.values()
    assert f" {failed.rows_needed:,}"[:3] in failed.reason.rpartition("about")[2]


def norm(z):
    return rc.scores.Score.parse("logit_norm(p=4, center=true)")(z)


@pytest.mark.parametrize("method", ["auto", "random_walk"])
def test_a_failed_fit_on_a_file_that_it_cuts_names_rows_of_a_file(method):
    file, options = sample(ENOUGH), {"method": method, "learned": False}
    failed = choose(file, target_risk=0.001, **options).selection
    several, _ = fit_several(file, target_risks=(0.001, 0.1), **options)
    by = choose(sample(6 * ENOUGH), target_risk=0.0003, subgroups="class", **options).selection
    parts, cut, o = _parts(file, "target_risk", Options(target_risk=0.001, **options))
    alone = _selection(o.prepare(parts["tune"], parts["calibrate"]), "target_risk", o)
    assert cut.tuning == 0.2
    assert failed.rows_needed == math.ceil(alone.rows_needed / 0.8) > ENOUGH
    for s in (failed, several.selection, *by.selections.values()):
        assert s.infeasible.of_file
        assert s.reason.endswith("rows would be enough.")
        assert not re.search("calibration rows would|tuning", s.reason)


def test_from_10000_rows_on_a_failed_fit_names_rows_that_include_those_that_tune():
    z, y = sample(300)
    found, failed = (f((z, y), target_risk=0.003) for f in (plan, choose))
    assert found.tuning == 0.2
    assert found.rows == failed.selection.rows_needed > ENOUGH
    assert "20 % of them to choose the score" in str(found)
    assert failed.selection.reason.endswith("rows would be enough.")
    assert "calibration rows would" not in failed.selection.reason
    assert plan((probs_of(z), y), target_risk=0.003, kind="probs").tuning == 0


def test_a_file_that_would_tune_needs_a_quarter_more_at_half_of_delta():
    numbers = {"accuracy": 0.9, "aurc": 0.02}
    found = plan(**numbers, target_risk=0.001)
    half = Law(0.1, 0.02, np.linspace(0.01, 1, 1000))
    assert found.rows * 0.8 == pytest.approx(needed(half, 0.001, 0.025), rel=0.02)


def test_rows_of_a_group_count_once():
    z, y = sample(300)
    groups = np.repeat(np.arange(300), 3)
    file = rc.from_arrays(np.repeat(z, 3, axis=0), np.repeat(y, 3), groups=groups)
    found, alone = plan(file, target_risk=0.02), plan((z, y), target_risk=0.02)
    assert (found.unit, found.labelled, found.rows) == ("groups", 300, alone.rows)
    assert "300 groups, ranked by" in str(found)


def test_pixels_of_an_image_are_a_group():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (30, 2, 2))
    logits = rng.normal(size=(30, 3, 2, 2))
    np.put_along_axis(logits, labels[:, None], 2.0, axis=1)
    found = plan((logits, labels), target_risk=0.05)
    assert (found.unit, found.labelled) == ("groups", 30)
    failed = choose((logits, labels), target_risk=0.05).selection
    assert (failed.guarantee.unit, failed.guarantee.n) == ("groups", 30)


def test_a_small_file_says_how_uncertain_its_plan_is():
    few, many = (plan(held, target_risk=0.02) for held in (sample(100), sample(3000)))
    for found in (few, many):
        assert found.low <= found.rows <= found.high
        assert "; resamples of them name" in str(found)
    assert few.high / few.low > 1.2 * many.high / many.low
    assert plan(sample(100), target_risk=0.02) == few
    assert plan(sample(100), target_risk=0.02, seed=1) != few


def test_right_and_wrong_files_have_plans_too():
    z, _ = sample(60)
    right = plan((z, z.argmax(axis=1)), target_risk=0.05)
    assert (right.errors, right.feasible, right.low, right.high) == (0, False, None, None)
    assert str(right).startswith("These 60 rows cannot tell: 0 errors among them are too few")
    assert "give accuracy and AURC" in str(right)
    wrong = plan((z, z.argmin(axis=1)), target_risk=0.05)
    assert (wrong.rows, wrong.coverage, wrong.more, wrong.low) == (None, None, (), None)
    assert wrong.largest_coverage == 0
    assert str(wrong).startswith("Infeasible: no number of rows up to 100,000,000")
    above = str(plan((z, z.argmin(axis=1)), target_risk=0.02))
    assert "above the target of 2 % at every threshold: more data will not help" in above


def flat(n=300, error=0.1):
    """A file whose risk is the same at every threshold: the first error is at the top."""
    z = np.c_[np.linspace(9, 3, n), np.zeros(n), np.zeros(n)]
    return z, (np.arange(n) % round(1 / error) == 0).astype(int)


@pytest.mark.parametrize("target", [0.01, 0.02, 0.03])
def test_plan_and_fit_agree_that_more_data_will_not_help(target):
    z, y = flat()
    y[:2] = 1  # the most confident are wrong
    y[:90:4] = 1
    found = plan((z, y), target_risk=target)
    failed = choose((z, y), target_risk=target).selection
    will_not_help = "more data will not help"
    assert (will_not_help in str(found)) == (will_not_help in failed.reason)
    assert (found.rows is None) == (failed.rows_needed is None)


def test_plan_says_what_fit_says_of_a_risk_above_the_target_everywhere():
    z, y = flat(600, 0.2)
    y[:30] = 1
    failed = choose((z, y), target_risk=0.02).selection
    assert failed.infeasible.hopeless
    assert failed.rows_needed is None
    found = plan((z, y), target_risk=0.02)
    assert (found.cause, found.rows, found.coverage) == ("above", None, None)


def test_the_range_of_rows_stands_in_the_first_line():
    first = str(plan(accuracy=0.9, aurc=0.02, target_risk=0.02)).splitlines()[0]
    assert first.startswith("Label between about 720 and 1,100 rows: in four of five draws")
    first = str(plan(accuracy=0.9, aurc=0.05, target_risk=0.02)).splitlines()[0]
    assert first.startswith("Label at least about 8,700 rows")
    assert first.endswith("if the risk levels off among the most confident, no number is enough.")


@EXAMPLES
@given(models(), st.floats(0.01, 0.2), st.integers(50, 20_000))
def test_a_number_of_rows_is_told_its_coverage_at_three_targets(model, target, n):
    found = plan(**model, target_risk=target, rows=n)
    assert [t for t, *_ in found.expected] == [target / 2, target, 2 * target]
    highs = [high for *_, high in found.expected]
    assert highs == sorted(highs)
    assert all(0 <= low <= high <= 1 for _, low, high in found.expected)
    again = plan(**model, target_risk=2 * target, rows=n)
    assert again.expected[1][1:] == found.expected[2][1:]
    if found.rows == n:
        assert highs[1] == found.coverage


def test_the_rows_at_hand_accept_what_simulated_files_of_as_many_do():
    law = POPULATIONS["steeper, 10 %"]
    known = truth(law)
    found = plan(accuracy=known.accuracy, aurc=known.aurc, target_risk=0.05, rows=1000)
    seen = np.median(accepted(law, 1000, 0.05, 50))
    _, low, high = found.expected[1]
    assert low - 0.05 <= seen <= high + 0.05
    assert str(found).startswith("With 1,000 rows, expect `fit` to accept ")
    assert found.accepts


def test_rows_that_accept_nothing_are_exit_code_1(recuse):
    few = ("plan", *NUMBERS, "--target-risk", ".01", "--rows", "100")
    code, out, _ = recuse(*few)
    assert (code, "accept nothing of predictions" in out) == (1, False)
    assert "expect `fit` to accept nothing at a risk of 1 %" in out
    assert recuse("plan", *NUMBERS, "--target-risk", ".02", "--rows", "1400")[0] == 0
    assert recuse("plan", *NUMBERS, "--target-risk", ".02", "--rows", "0")[0] == 2


def test_a_plan_is_plain_data():
    found = plan(accuracy=0.9, aurc=0.02, target_risk=0.02)
    assert isinstance(found, LabelPlan)
    assert str(found) == found.reason
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["more"][0] == {"rows": 2 * found.rows, "coverage": found.more[0][1]}
    with pytest.raises(AttributeError):
        found.rows = 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "a held-out file, or `accuracy` and `aurc`, got nothing"),
        ({"accuracy": 0.9}, "got `accuracy`"),
        ({"aurc": 0.02}, "got `aurc`"),
        ({"held_out": sample(20), "aurc": 0.02}, "got a file and `aurc`"),
        ({"accuracy": 90, "aurc": 0.02}, "90 % is the fraction 0.9"),
        ({"accuracy": 1.0, "aurc": 0.02}, "`accuracy` in"),
        ({"accuracy": 0.9, "aurc": 20}, "a fraction, 0.02, not times 1,000"),
        ({"accuracy": 0.9, "aurc": 2}, "a fraction, 0.02, not times 100"),
        ({"accuracy": 0.9, "aurc": 0.005}, "from 0.005176, a perfect ranking"),
        ({"accuracy": 0.9, "aurc": 0.11}, "to 0.1, a random one, got 0.11"),
        ({"accuracy": 0.9, "aurc": math.nan}, "got nan"),
        ({"accuracy": 0.9, "aurc": "0.02"}, "as a number in"),
        ({"accuracy": 0.9, "aurc": 0.02, "target_risk": 0}, "`target_risk` in"),
        ({"accuracy": 0.9, "aurc": 0.02, "target_risk": 2}, "2 % is the fraction 0.02"),
        ({"accuracy": 0.9, "aurc": 0.02, "delta": 0.5}, "`delta` in"),
        ({"accuracy": 0.9, "aurc": 0.02, "kind": "probs"}, "a file where `kind` is given"),
        ({"accuracy": 0.9, "aurc": 0.02, "seed": -1}, "seed"),
        ({"accuracy": 0.9, "aurc": 0.02, "rows": 0}, "`rows` as an integer larger than 0"),
        ({"accuracy": 0.9, "aurc": 0.02, "repeated_ids": "x"}, "repeated_ids"),
        ({"held_out": sample(20), "seed": -1}, "seed"),
        ({"held_out": sample(20), "repeated_ids": "x"}, "repeated_ids"),
    ],
)
def test_bad_input_says_what_was_expected(given, words):
    with pytest.raises(InputError, match="expected") as error:
        plan(**{"target_risk": 0.02, **given})
    assert words in str(error.value)


def test_the_ends_of_what_a_ranking_can_be_are_planned():
    for aurc in (0.1, least_area(0.1)):
        assert plan(accuracy=0.9, aurc=aurc, target_risk=0.15).feasible


def process(*arguments, cwd):
    command = [sys.executable, "-m", "recuse", "plan", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stdout, done.stderr


NUMBERS = ("--accuracy", ".9", "--aurc", ".02")


def test_the_command_prints_the_plan_of_two_numbers_or_of_a_file(tmp_path, recuse):
    write_logits(tmp_path / "few.npz", *sample(100))
    numbers = plan(accuracy=0.9, aurc=0.02, target_risk=0.02)
    assert process(*NUMBERS, "--target-risk", ".02", cwd=tmp_path) == (0, f"{numbers}\n", "")
    code, out, err = process(
        "few.npz", "--target-risk", ".02", "--delta", ".1", "--json", cwd=tmp_path
    )
    found = plan(rc.read(tmp_path / "few.npz"), target_risk=0.02, delta=0.1)
    assert (code, err) == (0, "")
    assert plain(out) == {"file": "few.npz", **json.loads(json.dumps(found.to_dict()))}
    assert recuse("plan", *NUMBERS, "--target-risk", ".02", "--quiet") == (0, "", "")


def test_options_about_a_file_are_refused_without_one(recuse):
    for options in (("--groups", "g.csv"), ("--probs",), ("--ignore-index", "255")):
        code, out, err = recuse("plan", *NUMBERS, "--target-risk", ".02", *options)
        assert (code, out) == (2, "")
        assert err == f"recuse: {options[0]} is about a file: expected one, got none\n"


def test_a_target_that_no_number_reaches_is_exit_code_1(recuse):
    code, out, err = recuse("plan", "--accuracy", ".9", "--aurc", ".1", "--target-risk", ".02")
    assert (code, err) == (1, "")
    assert out.startswith("Infeasible: no number of rows")
    assert recuse("plan", "--accuracy", ".9", "--aurc", ".1", "--target-risk", ".02", "-q")[0] == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ["Missing option '--target-risk'", "see recuse plan --help"]),
        (("--target-risk", ".02"), ["expected a held-out file, or `accuracy` and `aurc`"]),
        ((*NUMBERS, "--target-risk", "x"), ["'--target-risk'", "see recuse plan --help"]),
        (("--accuracy", "90", *NUMBERS[2:], "--target-risk", ".02"), ["the fraction 0.9"]),
        (("nope.npz", "--target-risk", ".02"), ["nope.npz: no such file"]),
        (("blind.npz", "--target-risk", ".02"), ["blind.npz", "labels"]),
        (("few.npz", *NUMBERS, "--target-risk", ".02"), ["got a file, `accuracy` and `aurc`"]),
    ],
)
def test_wrong_usage_is_one_line(command, words, recuse, tmp_path):
    write_logits(tmp_path / "few.npz", *sample(50))
    write_logits(tmp_path / "blind.npz", sample(50)[0])
    one_line(recuse("plan", *command), *words)
