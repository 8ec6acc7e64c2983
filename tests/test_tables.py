"""What people bring: tables and arrays of other libraries, and what is refused or said aloud."""

import json
import warnings

import numpy as np
import pytest

import recuse
from recuse import InputError, from_arrays, from_frame, read, write_logits
from recuse.errors import DataWarning

NAMES = ("cat", "dog", "eel")
RNG = np.random.default_rng(3)
Y = RNG.integers(0, 3, 60)
Z = (RNG.normal(size=(60, 3)) + 2 * np.eye(3)[Y]).round(3)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
TEXT = np.array(NAMES)[Y]


def text(path, columns, separator=","):
    rows = [separator.join(columns), *(separator.join(map(str, r)) for r in zip(*columns.values()))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def probs(order=(0, 1, 2), prefix="prob_"):
    return {f"{prefix}{NAMES[k]}": P[:, k] for k in order}


# Labels


@pytest.mark.parametrize(
    "labels",
    [Y, Y.astype(float), Y[:, None], np.eye(3)[Y], np.eye(3, dtype=int)[Y], Y.tolist(), TEXT],
)
def test_labels_come_in_many_forms(labels):
    found = from_arrays(Z, labels, classes=NAMES)
    np.testing.assert_array_equal(found.labels, Y)


@pytest.mark.parametrize("labels", [Y == 1, (Y == 1) * 1.0, np.where(Y == 1, 1, -1)])
def test_labels_of_two_classes_come_as_booleans_and_signs(labels):
    np.testing.assert_array_equal(from_arrays(Z[:, :2], labels).labels, Y == 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            TEXT,
            "expected the names of the 3 classes, in the order of the outputs, .* cat, dog, eel",
        ),
        (Y + 0.5, "labels that are integers, got"),
        (
            np.where(Y == 1, -100, Y),
            "got -100, which losses of PyTorch ignore: .* ignore_index=-100",
        ),
        (np.eye(3)[Y] * 2, "which is not one-hot; several labels a row are for"),
        (Y + 1, r"labels. in 0..2, got 3"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(labels, message):
    with pytest.raises(InputError, match=message):
        from_arrays(Z, labels)


def test_a_name_that_no_class_has_is_named():
    with pytest.raises(InputError, match="expected labels among cat, dog, got 'eel'"):
        from_arrays(Z[:, :2], TEXT, classes=NAMES[:2])


def test_labels_counted_from_one_match_their_columns():
    table = {f"prob_{k + 1}": P[:, k] for k in (2, 0, 1)} | {"label": Y + 1}
    found = from_frame(table)
    np.testing.assert_array_equal(found.labels, Y)
    np.testing.assert_array_equal(found.outputs, P)
    assert found.class_names == ("1", "2", "3")


def test_ignored_labels_are_left_out():
    found = from_arrays(Z, np.where(Y == 2, -100, Y), ignore_index=-100)
    np.testing.assert_array_equal(found.labels, Y[Y != 2])
    assert found.ignore_index is None


# Columns


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_columns_tell_the_classes_in_any_order(order):
    found = from_frame({**probs(order), "y_true": TEXT})
    assert (found.kind, found.class_names) == ("probs", tuple(NAMES[k] for k in order))
    right = from_arrays(P, Y, kind="probs")
    np.testing.assert_array_equal(found.logits[:, list(np.argsort(order))], right.logits)
    wrong = recuse.scores.predict(found.logits) != found.labels
    np.testing.assert_array_equal(wrong, recuse.scores.predict(right.logits) != right.labels)


def test_named_classes_order_the_columns():
    found = from_frame({**probs((2, 0, 1)), "label": Y}, classes=NAMES)
    np.testing.assert_array_equal(found.outputs, P)
    np.testing.assert_array_equal(found.labels, Y)


def test_columns_named_as_the_labels_are_outputs():
    found = from_frame({**probs(prefix=""), "target": TEXT, "age": Y})
    assert (found.kind, found.class_names) == ("probs", NAMES)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": Y, "b": Y}, "columns of outputs such as logit_0, .* got a, b: give --outputs"),
        ({**probs(), "logit_0": Y, "logit_1": Y}, "expected one set of outputs, got prob_cat and"),
        ({**probs(), "y": Y, "label": Y}, "expected one column of labels, got y and label"),
        ({"score": P[:, 0], "y": Y}, "got score, y: give --outputs"),
        ({"p_value": P[:, 0], "y": Y}, "got p_value, y: give --outputs"),
    ],
)
def test_a_doubt_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        from_frame(columns)


def test_one_column_needs_its_kind():
    with pytest.raises(InputError, match="expected --kind with one column of outputs"):
        from_frame({"score": P[:, 0], "y": Y == 0}, outputs="score")
    found = from_frame({"score": P[:, 0], "y": Y == 0}, outputs="score", kind="probs")
    np.testing.assert_allclose(np.exp(found.logits), np.column_stack([1 - P[:, 0], P[:, 0]]))


def test_a_column_that_looks_like_groups_is_said_and_not_used(tmp_path):
    path = text(tmp_path / "a.csv", {**probs(), "y_true": TEXT, "doc_id": np.arange(60) // 5})
    with pytest.warns(
        DataWarning, match="doc_id is not used and looks like groups .12 values in 60"
    ):
        assert read(path).groups is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(path, groups="doc_id")
    np.testing.assert_array_equal(found.groups, np.arange(60) // 5)


@pytest.mark.parametrize("cell", ["", "  "])
def test_an_empty_cell_of_a_group_is_refused(cell, tmp_path):
    groups = ["a", cell, *["b"] * 58]
    path = text(tmp_path / "a.csv", {**probs(), "y_true": TEXT, "group": groups})
    with pytest.raises(InputError, match="no empty cell in `groups`, got 1, the first at row 1"):
        read(path)


def test_ids_with_leading_zeros_are_names(tmp_path):
    ids = [f"{i // 2:03}" if i % 2 else f"{i // 2}" for i in range(60)]
    path = text(tmp_path / "a.csv", {**probs(), "y_true": TEXT, "id": ids})
    assert read(path).ids.tolist() == ids


# Text


def test_semicolons_and_decimal_commas(tmp_path):
    cells = {k: [str(x).replace(".", ",") for x in v.round(4)] for k, v in probs().items()}
    path = text(tmp_path / "a.csv", {**cells, "y_true": TEXT}, ";")
    found = read(path)
    np.testing.assert_array_equal(found.outputs, P.round(4))
    assert found.class_names == NAMES


def test_options_of_a_language_model_may_be_missing(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"id": f"q{i}", "logprobs": dict(zip("ABC", z)), "label": "ABC"[y]}
        for i, (z, y) in enumerate(zip(Z.tolist(), Y.tolist()))
    ]
    del rows[0]["logprobs"]["C" if Y[0] != 2 else "A"]
    rows[1]["logprobs"]["B"] = "-inf"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read(path)
    assert (found.kind, found.class_names) == ("logits", tuple("ABC"))
    assert np.isneginf(found.logits).sum() == 2
    assert found.ids[0] == "q0"


# Files


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.parquet", "a"])
def test_a_file_keeps_kind_names_and_subgroups(name, tmp_path):
    given = from_arrays(
        P, TEXT, kind="probs", classes=NAMES, subgroups={"site": Y % 2}, ids=np.arange(60)
    )
    write_logits(tmp_path / name, given)
    found = read(tmp_path / name)
    assert (found.kind, found.class_names, found.digest) == ("probs", NAMES, given.digest)
    np.testing.assert_array_equal(found.outputs, P)
    np.testing.assert_array_equal(found.subgroups["site"], Y % 2)
    with pytest.raises(InputError, match="expected probs, as the file tells, got binary"):
        read(tmp_path / name, kind="binary")


def test_rounded_probabilities_are_taken_and_others_refused():
    rounded = np.array([[0.33, 0.33, 0.33], [1.0000001, 0.0, 0.0]])
    assert from_arrays(rounded, kind="probs").logits.shape == (2, 3)
    for bad in ([[0.5, 0.4, 0.05]], [[1.1, -0.1, 0.0]]):
        with pytest.raises(InputError, match="rows that sum to 1"):
            from_arrays(np.array(bad), kind="probs")


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (P, "lies in .0, 1. and sums to 1"),
        (P.round(2), "lies in .0, 1. and sums to 1"),
        (P * 100, "sums to 100, as percentages do"),
        (1 / (1 + np.exp(-Z)), "every output lies in .0, 1., as of sigmoids"),
    ],
)
def test_probabilities_given_as_logits_are_said(outputs, said):
    with pytest.warns(DataWarning, match=said):
        recuse.tune(outputs, Y)


# A guarantee that is true of what was given


def halves(n=3000):
    rng = np.random.default_rng(11)
    y = rng.integers(0, 3, n)
    z = rng.normal(size=(n, 3)) + 2.5 * np.eye(3)[y]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    third = n // 3
    return [(z[i : i + third], p[i : i + third], y[i : i + third]) for i in range(0, n, third)]


def test_probabilities_decide_the_same_in_python_and_on_the_command_line(tmp_path):
    tune, calibrate, test = halves()
    rejector = recuse.fit(tune[1:], calibrate[1:], target_risk=0.1, kind="probs")
    write_logits(tmp_path / "test.npz", *test[1:], kind="probs")
    file = read(tmp_path / "test.npz")
    one, other = rejector.predict(test[1]), rejector.predict(file)
    for mine, theirs in zip(one, other):
        np.testing.assert_array_equal(mine, theirs)
    wrong = one.prediction != test[2]
    assert 0.3 < one.accept.mean() < 1
    assert wrong[one.accept].mean() < 0.12


def test_outputs_of_another_kind_are_refused_by_predict():
    tune, calibrate, test = halves()
    of_probs = recuse.fit(tune[1:], calibrate[1:], target_risk=0.1, kind="probs")
    of_logits = recuse.fit(tune[::2], calibrate[::2], target_risk=0.1, learned=False)
    with pytest.raises(InputError, match=r"expected `probs` in .0, 1."):
        of_probs.predict(test[0])
    with pytest.raises(InputError, match=r"expected logits, as in the fit, got rows in .0, 1."):
        of_logits.predict(test[1])
    with pytest.warns(DataWarning, match="expected logits, as in the fit"):
        of_logits.predict(test[1][:1])
    with pytest.raises(InputError, match="expected probs, as in the fit, got logits"):
        of_probs.predict(from_arrays(test[0]))


def test_classes_in_another_order_are_refused_by_predict():
    tune, calibrate, test = (from_arrays(z, y, classes=NAMES) for z, _, y in halves())
    rejector = recuse.fit(tune, calibrate, target_risk=0.1, learned=False)
    assert rejector.class_names == NAMES
    swapped = from_arrays(test.logits[:, [1, 0, 2]], classes=("dog", "cat", "eel"))
    with pytest.raises(InputError, match=r"the classes of the fit .* 'cat' in column 0, got 'dog'"):
        rejector.predict(swapped)
    again = type(rejector).from_dict(rejector.to_dict())
    assert again.class_names == NAMES
