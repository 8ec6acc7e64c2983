"""What people give by mistake, or from other libraries, ends in words or in the right answer."""

import numpy as np
import pytest

import recuse as rc
from recuse import InputError
from recuse.evaluation import Source, by_source, measure_file, pick, score_sources
from recuse.io import HeldOut
from samples import sample

Z, Y = sample(300)


class Column:
    """As the columns of data frames: nothing but `__array__`."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def torch_pair():
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'recuse[torch]'")
    return torch.tensor(Z, requires_grad=True), torch.tensor(Y)


SAME = {
    "lists": lambda: (Z.astype(np.float64).tolist(), Y.tolist()),
    "columns": lambda: (Column(Z), Column(Y)),
    "uint8 labels": lambda: (Z, Y.astype(np.uint8)),
    "another byte order": lambda: (Z.astype(">f4"), Y.astype(">i8")),
    "Fortran order": lambda: (np.asfortranarray(Z), Y),
    "tensors": torch_pair,
}
FUNCTIONS = {
    "tune": lambda z, y: rc.tune(z, y).gain,
    "diagnose": lambda z, y: rc.diagnose(z, y).smoothing.value,
    "pick": lambda z, y: pick({"a": (z, y), "b": (2 * Z, Y)})["a"].repaired.aurc.value,
    "measure": lambda z, y: measure_file(HeldOut(z, y)).scores["msp"].aurc,
    "mixture": lambda z, y: (
        score_sources({"a": Source(HeldOut(z, y))}).predictions("msp")[1].mean()
    ),
}
BAD = {
    "no rows": (Z[:0], Y[:0]),
    "one column": (Z[:, :1], 0 * Y),
    "NaN": (np.where(Z > 2, np.nan, Z), Y),
    "float labels": (Z, Y * 1.0),
    "string labels": (Z, Y.astype(str)),
    "one-hot labels": (Z, np.eye(5, dtype=int)[Y]),
    "boolean labels": (Z, Y > 2),
    "labels from 1": (Z, Y + 1),
    "labels of -1": (Z, Y - 1),
    "too few labels": (Z, Y[1:]),
    "ragged logits": ([[1.0, 2.0], [1.0]], [0, 1]),
    "strings": ("logits", Y),
    "None": (None, None),
    "one axis": (Z[:, 0], Y),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_holds_the_same_numbers_gives_the_same_answer(function, name):
    given = SAME[name]()
    assert FUNCTIONS[function](*given) == pytest.approx(FUNCTIONS[function](Z, Y), rel=1e-12)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_no_logits_or_labels_is_said_in_one_line(function, name):
    with pytest.raises(InputError, match=r"^[^\n]*expected[^\n]+$"):
        FUNCTIONS[function](*BAD[name])


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([None] * 300, "of integers, or of strings, got None, rows 0, 1, 2"),
        (np.array(["a", None] * 150, object), "got None, rows 1, 3, 5"),
        (np.array(["a", 1] * 150, object), "got 1, rows 1, 3, 5"),
        (np.array([1.5] * 300, object), "got 1.5, rows 0"),
        (np.full(300, np.nan), "without NaN, got 300"),
        ([[1], [1, 2]], "expected an array, got a list"),
        ([1, 2], r"of shape \(300,\), got \(2,\)"),
        (3, r"of shape \(300,\), got \(\)"),
    ],
)
def test_groups_that_are_none_are_said_in_one_line(groups, words):
    for function in (rc.tune, rc.diagnose):
        with pytest.raises(InputError, match=words):
            function(Z, Y, groups=groups)


def test_groups_of_python_objects_are_the_groups_that_they_name():
    names = [f"g{i // 3:03}" for i in range(300)]
    for given in (names, np.array(names, object), np.arange(300) // 3, Column(names)):
        assert rc.tune(Z, Y, groups=given).gain_se == rc.tune(Z, Y, groups=names).gain_se


P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
TWO = {"a": (Z, Y), "b": (2 * Z, Y)}
THREE = {"tune": (Z, Y), "calibrate": sample(200, seed=1), "test": sample(200, seed=2)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rc.tune(Z, Y, seed=-1), "`seed` as an integer >= 0, got -1"),
        (lambda: rc.tune(Z, Y, seed=1.5), "`seed` as an integer >= 0, got 1.5"),
        (lambda: rc.tune(Z, Y, candidates=["msp"]), "of recuse.scores.Score, got 'msp'"),
        (lambda: rc.tune(Z, Y, candidates=3), "`candidates` as a sequence, got 3"),
        (
            lambda: rc.tune(Z, Y, kind="odds"),
            "`kind` among logits, binary, probs, confidences, got 'odds'",
        ),
        (
            lambda: rc.tune(P, Y, kind="probs", candidates=[rc.scores.Score("energy")]),
            "msp, .* for probabilities, got energy",
        ),
        (
            lambda: rc.tune(Z, Z > 0, kind="multilabel"),
            "`kind` among logits, binary, probs, confidences, got",
        ),
        (
            lambda: rc.from_arrays(Z, Z > 0, kind="multilabel"),
            "`kind` among logits, binary, probs, c",
        ),
        (lambda: rc.diagnose(Z, Y, seed=-1), "`seed` as an integer >= 0"),
        (
            lambda: rc.diagnose(Z, Y, features=Z, weights=Z[:5], bias="no"),
            "`bias` of a floating dtype, got <U2",
        ),
        (lambda: pick(TWO, criterion=3), "got 3"),
        (lambda: pick(TWO, risks=5), "`risks` as a sequence, got 5"),
        (lambda: pick(TWO, kind="odds"), "`kind` among"),
        (lambda: pick({"a": Z, "b": (Z, Y)}), r"a: expected \(outputs, labels\) or a HeldOut"),
        (lambda: pick({"a": (Z, Y, Y), "b": (Z, Y)}), "a: expected"),
        (lambda: rc.evaluate(3), "models by name, as .*, got an int"),
        (lambda: rc.evaluate({"m": 3}), "splits of model 'm' by name, .* got an int"),
        (lambda: rc.evaluate({"m": THREE | {"tune": 3}}), "m, tune: expected"),
        (lambda: rc.evaluate({"m": THREE}, risks=3), "`risks` as a sequence, got 3"),
        (lambda: rc.evaluate({"m": THREE}, seed=-1), "`seed`"),
        (lambda: rc.evaluate({"m": THREE}, target_risk="a"), "`target_risk`"),
        (lambda: by_source(Z[:, 0], 0 * Y, Y, threshold="a"), "`threshold` as a number, got a"),
        (lambda: by_source(Z[:, 0], 0 * Y, Y, coverage=0.5, shares=3), "shares by name"),
        (lambda: score_sources([Source(HeldOut(Z, Y))]), "sources by name"),
        (lambda: score_sources({"a": (Z, Y)}), "a: expected a Source"),
        (lambda: score_sources({"a": Source("a.npz")}), "a: expected .* got 'a.npz'"),
        (lambda: measure_file("a.npz"), "a HeldOut, got 'a.npz'"),
        (lambda: measure_file(HeldOut(Z, Y), "msp"), "`scores` as a sequence, got 'msp'"),
        (lambda: measure_file(HeldOut(Z, Y), ["msp"]), "recuse.scores.Score, got 'msp'"),
    ],
)
def test_what_makes_no_sense_is_an_input_error(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_labels_of_a_hand_made_file_are_never_silently_wrong():
    """Labels of -1 would count as errors."""
    void = np.where(np.arange(300) < 10, -1, Y)
    with pytest.raises(InputError, match=r"in 0\.\.4, got -1"):
        measure_file(HeldOut(Z, void))
    assert measure_file(HeldOut(Z, void, ignore_index=-1)).n == 290
