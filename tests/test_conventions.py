"""`curves.conventions` against the programs that it is named after."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_conventions as reference
from recuse.curves import conventions
from strategies import GENERAL, ZERO_ONE, predictions

EXACT = 1e-11  # sums of at most 30 terms, up to 1000, in float64
BY_THRESHOLD = ("fd_shifts_aurc", "fd_shifts_augrc")  # programs that know ties
BY_ROW = (
    "geifman_aurc",
    "geifman_e_aurc",
    "one_minus_aurc",
    "torch_uncertainty_augrc",
    "torch_uncertainty_aurc",
    "trapezoid_aurc",
)


def test_every_convention_is_tested():
    public = {
        name
        for name, f in vars(conventions).items()
        if getattr(f, "__module__", None) == conventions.__name__ and not name.startswith("_")
    }
    assert public == {*BY_ROW, *BY_THRESHOLD}


def test_the_table_of_the_module_names_every_convention():
    for name in (*BY_ROW, *BY_THRESHOLD):
        assert f"| `{name}` |" in conventions.__doc__


@pytest.mark.parametrize("name", BY_ROW)
@given(losses=st.lists(st.one_of(ZERO_ONE, GENERAL), min_size=1, max_size=30))
def test_without_ties_the_value_is_that_of_the_program(name, losses):
    ours = getattr(conventions, name)(-np.arange(len(losses)), losses)
    theirs = getattr(reference, name)(losses)
    assert ours == pytest.approx(theirs, abs=EXACT, nan_ok=True)


@pytest.mark.parametrize("name", BY_ROW)
@given(data=predictions(max_size=6))
def test_with_ties_it_is_the_mean_over_all_orders(name, data):
    confidence, loss = data
    values = []
    for order in itertools.permutations(range(len(loss))):
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order)):
            values.append(getattr(reference, name)([float(loss[i]) for i in order]))
    expected = math.fsum(values) / len(values)
    ours = getattr(conventions, name)(confidence, loss)
    assert ours == pytest.approx(expected, abs=EXACT, nan_ok=True)


@pytest.mark.parametrize("name", BY_THRESHOLD)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_fd_shifts_knows_ties_and_so_does_its_convention(name, data):
    confidence, loss = data
    order = np.argsort(-confidence)
    theirs = getattr(reference, name)(confidence[order].tolist(), loss[order].tolist())
    assert getattr(conventions, name)(confidence, loss) == pytest.approx(theirs, abs=EXACT)


def test_torch_uncertainty_itself_agrees():
    peers = pytest.importorskip(
        "benchmarks.peers", reason="torch-uncertainty is not installed: `make bench` does"
    )
    rng = np.random.default_rng(0)
    p = rng.permutation(1000).astype("f4") / 2000 + 0.5
    label = rng.random(1000) < 0.3
    for name in ("AURC", "AUGRC"):
        theirs = peers.torch_uncertainty(name, p, label)
        ours = getattr(conventions, f"torch_uncertainty_{name.lower()}")(p, label)
        assert ours == pytest.approx(theirs, abs=1e-6)  # theirs is in float32
