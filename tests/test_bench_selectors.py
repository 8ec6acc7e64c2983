"""The benchmark of thresholds measures what it says, on few draws."""

import numpy as np
import pytest
from benchmarks.selectors import (
    DELTA,
    FIT,
    GEIFMAN,
    MAPIE,
    OURS,
    TARGET,
    ZUGZWANG,
    better,
    halves,
    keeps,
    measure,
)
from tests.validity.coverage import former, in_parts, of_logits, oracle
from tests.validity.real_logits import DELTA as DELTA_OF_FITS
from tests.validity.real_logits import Fits, Pool, Population, draws
from tests.validity.thresholds import POPULATIONS, Cell, by, verdict

from recuse.rejector import choose
from recuse.selectors._methods import Splits

FILE = POPULATIONS["smooth"].draw(1000, np.random.default_rng(0))


def test_fit_is_what_fit_does_with_one_file_of_confidences():
    confidence, loss = FILE
    file = (confidence[:, None], 1 - loss.astype(int))
    found = choose(file, kind="confidences", target_risk=TARGET, delta=DELTA)
    assert found.cut.tuning == 0
    assert OURS[FIT](TARGET, FILE) == found.selection.threshold
    assert OURS[FIT](TARGET, FILE) == by("random_walk", TARGET, DELTA)(Splits(*FILE))


def test_methods_with_a_tuning_split_get_no_further_rows():
    tune, calibrate = halves(FILE)
    assert [len(tune[0]), len(calibrate[0])] == [500, 500]
    assert np.array_equal(np.r_[tune[1], calibrate[1]], FILE[1])


def test_every_method_accepts_what_all_can_accept():
    found = measure(POPULATIONS["accurate"], TARGET, 1000, OURS | GEIFMAN, 3)
    assert all(x.feasible == 1 and x.violations == 0 for x in found.values())
    assert all(x.coverage.mean() > 0.9 for x in found.values())


def test_zugzwang_is_called_and_accepts_ties_that_it_has_not_tested():
    pytest.importorskip("zugzwang", reason="`make bench-selectors` installs it")
    methods = OURS | ZUGZWANG
    assert (
        measure(POPULATIONS["two levels"], TARGET, 1000, methods, 20)["zugzwang"].violations > 0.5
    )
    found = measure(POPULATIONS["flat"], TARGET, 100, ZUGZWANG, 20)["zugzwang"]
    assert found.feasible < 0.3


def test_mapie_is_called():
    pytest.importorskip("mapie", reason="`make bench-selectors` installs it")
    found = measure(POPULATIONS["steep"], TARGET, 1000, MAPIE, 3)
    assert all(x.coverage.mean() > 0.3 for x in found.values())


def test_a_peer_is_better_only_if_it_keeps_the_guarantee():
    found = measure(POPULATIONS["steep"], TARGET, 300, OURS | GEIFMAN, 20)
    wide = found[FIT]._replace(coverage=found[FIT].coverage + 0.1, violations=0.05)
    assert better(found | {"peer": wide}, 20)[0].startswith("peer accepts ")
    assert better(found | {"peer": wide._replace(violations=0.5)}, 20) == []


def test_few_violations_more_than_delta_are_chance():
    assert keeps(0.05, 300)
    assert not keeps(0.09, 300)
    assert keeps(0.09, 300, cells=500)
    cells = [Cell("a", 0.05), Cell("b", 0.2)]
    assert ": b. Largest: 0.200 (b)" in verdict(cells, 300, 0.05)
    assert ": none. Largest: 0.050 (a)" in verdict(cells[:1], 300, 0.05)


def test_rates_of_a_pool_are_those_of_its_rows():
    pool = Pool(np.array([0.1, 0.5, 0.5, 0.9]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert pool.coverage([0.0, 0.5, 0.7, 1.0]).tolist() == [1, 0.75, 0.25, 0]
    assert pool.risk([0.0, 0.5, 0.7, 1.0]).tolist() == [0.5, pytest.approx(1 / 3), 0, 0]


@pytest.mark.parametrize(
    ("name", "target", "coverage"),
    [("smooth", 0.05, 0.5), ("convex", 0.025, 0.5), ("two levels", 0.01, 0.5), ("flat", 0.05, 0)],
)
def test_the_oracle_accepts_as_much_as_the_risk_allows(name, target, coverage):
    assert oracle(POPULATIONS[name], target) == pytest.approx(coverage, abs=1e-4)


def test_a_file_is_cut_as_before_and_as_fit_cuts_it():
    rows = Splits(*FILE)
    before, now = in_parts(rows, 0.4, 0.4), in_parts(rows, 0.2, 0.8)
    assert [len(before.tune[1]), len(before.loss)] == [400, 400]
    assert [len(now.tune[1]), len(now.loss)] == [200, 800]
    assert former(TARGET)(rows) == by("fixed_sequence", TARGET, DELTA)(before)
    assert of_logits(TARGET)(rows) == by("random_walk", TARGET, 0.8 * DELTA)(rows)
    many = Splits(*POPULATIONS["smooth"].draw(10_000, np.random.default_rng(0)))
    cut = in_parts(many, 0.2, 0.8)
    assert of_logits(TARGET)(many) == by("fixed_sequence", TARGET, DELTA)(cut)


@pytest.mark.parametrize("classes", [2, 6])
def test_fits_without_a_rejector_are_those_of_fit(classes):
    rng = np.random.default_rng(classes)
    z = (3 * rng.normal(size=(2000, classes))).astype(np.float32)
    y = z.argmax(axis=1)
    y[rng.uniform(size=2000) < 0.03] = 0
    rows = rng.integers(2000, size=800)
    found = choose((z[rows], y[rows]), target_risk=TARGET, delta=DELTA_OF_FITS)
    fits = Fits(z, TARGET)
    confidence, threshold = fits.widest(rows, (z.argmax(axis=1) != y)[rows])
    assert found.selection.feasible
    assert threshold == found.selection.threshold
    assert np.array_equal(confidence, found.tuned.score(z))


def test_fits_of_two_files_are_counted_over_the_population():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 4000)
    z = (3 * np.eye(3)[y] + rng.normal(size=(4000, 3))).astype(np.float32)
    prediction = z.argmax(axis=1)
    found = draws(Population(z, y, prediction, prediction != y), 400, 1, 0.05)
    assert found.keys() == {"risk", "class", "coverage", "cost"}
    (one,) = found["risk"]
    assert one.feasible
    assert one.broken == (one.risk > 0.05)
