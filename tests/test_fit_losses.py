"""`fit` on one confidence and a loss in [0, 1]: a guaranteed mean, and the bets that show it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom
from tests.validity.mean_losses import DELTA, POPULATIONS, TARGET, simulate

import recuse as rc
from recuse._internal.files import checksum
from recuse.bounds import betting_p_value
from recuse.io import HeldOut
from recuse.rejector import choose, fit_several, summarize
from recuse.selectors import Guarantee, _bets
from recuse.selectors._grid import counts
from recuse.selectors._methods import recheck_betting

DRAWS, FALSE_ALARM = 150, 0.01
FLAT = [name for name in POPULATIONS if name.startswith("flat")]


def losses(n, seed=0, **columns):
    """A better confidence has a smaller loss on average."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(size=n)
    mean = 0.08 + 0.35 * (1 - c) ** 1.5
    l = rng.beta(20 * mean, 20 * (1 - mean))
    made = {name: make(n) for name, make in columns.items()}
    return rc.from_frame({"confidence": c, "loss": l, **made})


@pytest.fixture(scope="module")
def rejector():
    return rc.fit(losses(600), target_risk=0.2)


def test_the_mean_loss_of_the_accepted_is_guaranteed(rejector):
    g, new = rejector.guarantee, losses(4000, seed=1)
    assert (g.method, g.n, g.unit, type(g.errors)) == ("betting", 480, "rows", float)
    assert "the mean loss of accepted predictions is at most 0.2 (" in str(g)
    accept = rejector.predict(new.logits).accept
    assert accept.mean() > 0.5
    assert new.labels[accept].mean() < 0.2 + 0.01 < new.labels.mean()  # and the error of 4,000 rows


def test_a_fifth_of_the_rows_says_which_thresholds_to_test():
    choice = choose(losses(600), target_risk=0.2)
    assert (choice.cut.tuning, choice.rejector.splits["tune"]["n"]) == (0.2, 120)
    two = choose(losses(120), losses(480, seed=1), target_risk=0.2)
    assert two.cut is None
    assert two.rejector.guarantee.n == 480


def test_the_file_shows_the_bets_and_loading_bets_again(rejector, tmp_path):
    path = tmp_path / "r.json"
    rejector.save(path)
    assert rc.Rejector.load(path) == rejector
    g = rejector.guarantee
    bets = _bets.read(g.bets)
    assert (len(bets), bets.sum()) == (g.accepted, pytest.approx(g.errors, abs=0.01))
    assert betting_p_value(bets, 0.2, delta=0.05) <= 0.05


CHANGES = [
    ("errors", lambda g: g["errors"] - 1, "whose sum is"),
    ("accepted", lambda g: g["accepted"] - 1, "accepted losses"),
    ("target_risk", lambda g: 0.15, "do not support its guarantee"),
    ("bets", lambda g: g["bets"][4:], "accepted losses"),
    ("bets", lambda g: g["bets"][3:], "hexadecimal"),
    ("bets", lambda g: "zz" + g["bets"][2:], "hexadecimal"),
    ("bets", lambda g: 7, "`bets`"),
]


@pytest.mark.parametrize(("name", "change", "message"), CHANGES)
def test_bets_that_do_not_show_the_guarantee_are_refused(rejector, name, change, message):
    data = json.loads(json.dumps(rejector.to_dict()))
    g = data["rules"][0]["guarantee"]
    g[name] = change(g)
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    with pytest.raises(rc.InputError, match=message):
        rc.Rejector.from_dict(data)


def test_a_guarantee_without_bets_is_refused(rejector):
    data = json.loads(json.dumps(rejector.to_dict()))
    del data["rules"][0]["guarantee"]["bets"]
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    with pytest.raises(rc.InputError, match="expected `bets` on the"):
        rc.Rejector.from_dict(data)


def test_written_bets_are_the_losses_rounded_up():
    x = np.r_[0, 1, np.random.default_rng(0).uniform(size=100)]
    up = _bets.rounded_up(x)
    assert ((up >= x) & (up < x + 1 / 65535)).all()
    assert (_bets.read(_bets.written(up)) == up).all()
    assert (_bets.rounded_up(up) == up).all()


@given(
    of=st.sampled_from([5, 3, 255, 65535, None]),
    n=st.sampled_from([1, 7, 3000, 100_000]),
    seed=st.integers(0, 2**32 - 1),
)
@example(of=5, n=3000, seed=0)
def test_bets_agree_with_the_sum_of_their_losses_whatever_their_steps(of, n, seed):
    """The sum is rounded up by 2^-32 a row, bets by 1 / 65,535."""
    rng = np.random.default_rng(seed)
    l = rng.uniform(size=n) if of is None else rng.integers(0, of + 1, n) / of
    l[0] = 1 / 3  # not all 0 or 1
    held = counts(np.zeros(n, np.float32), l, np.zeros(1, np.float32))
    bets = _bets.written(_bets.rounded_up(l))
    g = Guarantee(0.5, 0.05, "betting", n, n, held.errors[0].item(), bets=bets)
    recheck_betting(g)
    with pytest.raises(rc.InputError, match="whose sum is"):
        recheck_betting(replace(g, errors=g.errors + 2 * n / _bets.STEPS))


def test_losses_in_fifths_are_read_back(tmp_path):
    rng = np.random.default_rng(3)
    c = rng.uniform(size=3000)
    l = rng.integers(0, 6, 3000) / 5 * (rng.uniform(size=3000) > c)
    found = rc.fit(HeldOut(np.float32(c[:, None]), l, kind="losses"), target_risk=0.15)
    found.save(tmp_path / "r.json")
    assert rc.Rejector.load(tmp_path / "r.json") == found


def test_errors_may_be_bet_on_too(tmp_path):
    rng = np.random.default_rng(0)
    c = rng.uniform(size=2000)
    file = rc.from_arrays(c, rng.uniform(size=2000) < c**0.2, kind="confidences")
    halves = file.rows(slice(0, 500)), file.rows(slice(500, None))
    found = rc.fit(*halves, target_risk=0.1, method="betting")
    found.save(tmp_path / "r.json")
    assert rc.Rejector.load(tmp_path / "r.json") == found
    assert (found.guarantee.method, type(found.guarantee.errors)) == ("betting", int)


def test_one_image_of_each_group_counts():
    found = rc.fit(losses(900, group=lambda n: np.arange(n) // 3), target_risk=0.2)
    assert (found.guarantee.n, found.guarantee.unit) == (240, "groups")
    assert len(_bets.read(found.guarantee.bets)) == found.guarantee.accepted


def test_several_targets_hold_at_once():
    found = fit_several(losses(900), target_risks=(0.01, 0.2))
    assert [choice.rejector is None for choice in found] == [True, False]


def test_what_would_be_feasible_is_said():
    with pytest.raises(
        rc.InfeasibleError, match=r"smallest target .* passed is 1\d\.\d %"
    ) as error:
        rc.fit(losses(600), target_risk=0.05)
    assert error.value.selection.rows_needed is None  # the law of errors is not that of losses


def test_a_summary_has_the_mean_loss_and_an_interval(rejector):
    new = losses(2000, seed=2)
    s = summarize(new, rejector.predict(new), rejector)
    accept = rejector.predict(new).accept
    assert s.risk == pytest.approx(new.labels[accept].mean())
    assert s.error_without_rejector == pytest.approx(new.labels.mean())
    assert s.risk_interval[0] < s.risk < s.risk_interval[1]
    assert s.kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 0.5}, "got coverage"),
        ({"costs": [[0, 1], [1, 0]]}, "got costs"),
        ({"target_risk": 0.2, "among": "all"}, "got among='all'"),
        ({"target_risk": 0.2, "subgroups": "class"}, "got subgroups"),
        ({"target_risk": 0.2, "method": "bonferroni"}, "got method='bonferroni'"),
    ],
)
def test_what_is_no_mean_loss_is_refused(options, message):
    with pytest.raises(rc.InputError, match=message):
        rc.fit(losses(300), **options)
    with pytest.raises(rc.InputError, match=message):
        rc.fit(losses(100), losses(200, seed=1), **options)


def test_several_confidences_and_losses_above_one_are_refused():
    table = {"conf_a": np.arange(50.0), "conf_b": np.arange(50.0), "loss": np.full(50, 0.5)}
    with pytest.raises(rc.InputError, match="one confidence beside losses, got 2"):
        rc.fit(rc.from_frame(table), target_risk=0.2)
    table = {"confidence": np.arange(50.0), "loss": np.full(50, 2.0)}
    with pytest.raises(rc.InputError, match=r"in \[0, 1\], got 2"):
        rc.fit(rc.from_frame(table), target_risk=0.2)


@pytest.mark.parametrize("use", [rc.tune, rc.diagnose])
def test_what_counts_errors_still_refuses_losses(use):
    with pytest.raises(rc.InputError, match="expected `correct`"):
        use(losses(50))


def test_the_command_line_fits_and_predicts(recuse, tmp_path):
    for name, seed in (("scenes", 0), ("new", 1)):
        file = losses(600, seed)
        columns = np.column_stack([np.arange(600), file.logits[:, 0], file.labels])
        head = "id,confidence,loss"
        np.savetxt(tmp_path / f"{name}.csv", columns, "%.9g", ",", header=head, comments="")
    code, out, _ = recuse("fit", "scenes.csv", "--target-risk", 0.2)
    assert code == 0
    assert "Of 600 rows, 20 % say which thresholds to test and 80 % test them; none" in plain(out)
    code, out, _ = recuse("predict", "rejector.json", "new.csv", "--out", "decisions.csv")
    assert code == 0
    assert "Mean loss of the accepted 0.2" in plain(out)
    assert "interval of this mean loss, 0.1" in plain(out)
    assert "is in line with the guaranteed 0.2." in plain(out)


def plain(text):
    return " ".join(text.split())


@pytest.mark.validity
@pytest.mark.parametrize("name", FLAT)
def test_the_mean_loss_of_the_accepted_keeps_its_guarantee(name):
    violations, _ = simulate(POPULATIONS[name], 200, DRAWS)
    assert binom.sf(round(violations * DRAWS) - 1, DRAWS, DELTA) > FALSE_ALARM / len(FLAT)


def test_it_accepts_where_losses_are_small():
    _, coverage = simulate(POPULATIONS["falling"], 600, 20)
    assert coverage > 0.5


def test_the_lowest_mean_seen_would_break_it():
    """Without a bound the mean of what is accepted is below the target in most draws of "flat"."""
    population, rng = POPULATIONS[FLAT[0]], np.random.default_rng(0)
    found = []
    for _ in range(DRAWS):
        rows = population.draw(200, rng)
        loss = rows["loss"][np.argsort(-rows["confidence"])]
        found.append((np.cumsum(loss) / np.arange(1, 201) <= TARGET)[20:].any())
    assert np.mean(found) > 3 * DELTA
