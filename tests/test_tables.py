"""What people bring: tables and arrays of other libraries, and what is refused or said aloud."""

import dataclasses
import json
import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import recuse as recuse_package
from recuse import InputError, Rejector, from_arrays, from_frame, read, write_logits
from recuse._internal.files import checksum
from recuse.errors import DataWarning
from recuse.io import open_logits, split_rows
from recuse.io._tables import read_table
from recuse.present.reading import reading_lines
from recuse.rejector import summarize

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
            "expected the names of the 3 classes, in the order of the outputs, .* cat, dog and eel",
        ),
        (Y + 0.5, r"integers in `labels`, got 2.5 at rows 0, 1, 2, \.\.\."),
        ([*TEXT[:-1], ""], "a label in `labels`, got an empty cell at row 59"),
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
    with pytest.raises(
        InputError, match="expected `labels` among cat and dog, got 'eel' at rows 0, 5"
    ):
        from_arrays(Z[:, :2], TEXT, classes=NAMES[:2])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "y_true",
            "dgo",
            "column 'y_true' among cat, dog and eel, got 'dgo' at {}: did you mean 'd",
        ),
        ("y_true", "", "a label in column 'y_true', got an empty cell at {}"),
        ("prob_dog", "", "a number in every row of column 'prob_dog', got 1 without, {}"),
        ("prob_eel", "n/a", "numbers in the column 'prob_eel' of outputs, got 'n/a' at {}"),
        ("group", "", "no {} column 'group', got 1, {}"),
    ],
)
def test_a_cell_is_refused_by_column_and_line(name, column, cell, message, tmp_path):
    columns = {**probs(), "y_true": TEXT.tolist(), "group": [f"g{k}" for k in Y], "note": [""] * 60}
    columns = {k: list(v) for k, v in columns.items()}
    columns[column][7] = cell
    where, missing = {"a.csv": "line 10", "a.jsonl": "line 9"}.get(name, "row 7"), "empty cell in"
    if name == "a.parquet":
        pa = pytest.importorskip("pyarrow")
        numbers = column.startswith("prob")
        columns[column][7] = cell or None
        if numbers and cell:
            columns[column] = [str(x) for x in columns[column]]
        missing = "missing value in"
        pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), tmp_path / name)
    elif name == "a.csv":
        columns["note"][0] = '"two\nlines"'
        text(tmp_path / name, columns)
    else:
        columns[column][7] = cell or None
        missing = "missing value in"
        rows = [dict(zip(columns, cells)) for cells in zip(*columns.values())]
        lines = [json.dumps(row) for row in rows]
        (tmp_path / name).write_text("\n\n".join([lines[0], "\n".join(lines[1:])]))
    expected = message.format(*[missing, where] if "{} column" in message else [where])
    with pytest.raises(InputError, match=re.escape(expected)):
        read(tmp_path / name)


def test_labels_counted_from_one_match_their_columns():
    table = {f"prob_{k + 1}": P[:, k] for k in (2, 0, 1)} | {"label": Y + 1}
    found = from_frame(table)
    np.testing.assert_array_equal(found.labels, Y)
    np.testing.assert_array_equal(found.outputs, P)
    assert found.class_names == ("1", "2", "3")
    few = Y < 2  # no row of the last class: 1 and 2 are names all the same
    found = from_frame({name: x[few] for name, x in table.items()})
    np.testing.assert_array_equal(found.labels, Y[few])


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
    wrong = recuse_package.scores.predict(found.logits) != found.labels
    np.testing.assert_array_equal(
        wrong, recuse_package.scores.predict(right.logits) != right.labels
    )


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
        ({"a": Y, "b": Y}, "columns of outputs such as logit_0, .* got a and b: give outputs="),
        ({**probs(), "logit_0": Y, "logit_1": Y}, "expected one set of outputs, got prob_cat and"),
        ({**probs(), "y": Y, "label": Y}, "expected one column of labels, got y and label"),
        ({"score": P[:, 0], "y": Y}, "got score and y: give outputs="),
        ({"p_value": P[:, 0], "y": Y}, "got p_value and y: give outputs="),
    ],
)
def test_a_doubt_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        from_frame(columns)


def test_one_column_needs_its_kind():
    with pytest.raises(InputError, match="expected to be told what one column of outputs is"):
        from_frame({"score": P[:, 0], "y": Y == 0}, outputs="score")
    found = from_frame({"score": P[:, 0], "y": Y == 0}, outputs="score", kind="probs")
    np.testing.assert_allclose(np.exp(found.logits), np.column_stack([1 - P[:, 0], P[:, 0]]))


CERTAINTY = {"confidence": P.max(axis=1), "is_correct": (Y == 0).astype(int)}


@pytest.mark.parametrize("outputs", [None, "confidence"])
def test_confidences_are_offered_where_a_column_is_called_so(outputs):
    with pytest.raises(
        InputError, match=r"or --confidences, how sure|give --confidences, or kind="
    ):
        from_frame(CERTAINTY, labels="is_correct", outputs=outputs)
    found = from_frame(CERTAINTY, labels="is_correct", outputs=outputs, kind="confidences")
    np.testing.assert_array_equal(found.labels, CERTAINTY["is_correct"])
    with pytest.raises(InputError, match=r": give outputs=$"):
        from_frame({**CERTAINTY, "is_correct": TEXT}, labels="is_correct")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("ele", "among cat, dog and eel, got 'ele' at row 7: did you mean 'eel'"),
        ("Dog", "among cat, dog and eel, got 'Dog' at row 7: did you mean 'dog'"),
        ("DOG", "among cat, dog and eel, got 'DOG' at row 7: did you mean 'dog'"),
        ("", "expected a label in column 'y_true', got an empty cell at row 7"),
        (None, "expected a label in column 'y_true', got an empty cell at row 7"),
    ],
)
@pytest.mark.parametrize("only", [False, True])
def test_one_odd_label_of_columns_named_as_the_classes_is_named(cell, message, only):
    labels = TEXT.astype(object)
    if (
        only and cell == "ele"
    ):  # the column of the class is found by the name that is nearly its own
        labels[labels == "eel"] = "cat"
    labels[7] = cell
    with pytest.raises(InputError, match=message):
        from_frame({**probs(prefix=""), "y_true": labels, "age": Y})


@pytest.mark.parametrize(
    ("prediction", "label", "shown"),
    [
        (
            np.array(["A", "D"])[Y % 2],
            np.array(["d", "a"])[Y % 2],
            "got '[AD]' in .* and '[ad]' in",
        ),
        (Y, TEXT, "got '[012]' in prediction and '(cat|dog|eel)' in label"),
    ],
)
def test_predictions_and_labels_that_share_no_value_are_refused(prediction, label, shown):
    table = {"confidence": P.max(axis=1), "prediction": prediction, "label": label}
    with pytest.raises(InputError, match=f"{shown}.*: do they differ in case, or is one of names"):
        from_frame(table)
    few = {"confidence": [0.5, 0.7], "prediction": ["London", "9"], "label": ["Paris", "Rome"]}
    np.testing.assert_array_equal(from_frame(few).labels, [0, 0])


@pytest.mark.parametrize("cells", [[1.0, np.nan], ["1", ""], [True, None]])
def test_an_empty_cell_of_correct_is_called_so(cells):
    with pytest.raises(InputError, match="expected a value in column 'correct', got an empty cell"):
        from_frame({"confidence": [0.5, 0.7], "correct": np.array(cells)})
    with pytest.raises(InputError, match="expected a value in column 'label', got an empty cell"):
        from_frame({"confidence": [0.5, 0.7], "prediction": ["a", "b"], "label": ["a", ""]})
    assert from_frame({"confidence": [0.5, 0.7], "correct": ["", ""]}).labels is None


def sigmoids(n=40):
    return np.random.default_rng(0).uniform(size=n)


def test_a_sigmoid_column_is_no_logit(recuse, tmp_path):
    p = sigmoids()
    y, message = (p > 0.5).astype(int), r"as probabilities do: declare them by --probs, in Python"
    for outputs in (p, p[:, None], p.astype(np.float32)):
        with pytest.raises(InputError, match=message):
            from_arrays(outputs, y, kind="binary")
    for real in (4 * p - 2, p[:19], 0.4 * p + 0.55):  # few, or all of class 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            assert from_arrays(real, y[: len(real)], kind="binary").kind == "binary"
    text(tmp_path / "a.csv", {"p": p, "y": y})
    np.savez(tmp_path / "a.npz", logits=p, labels=y)
    np.savez(tmp_path / "l.npz", logits=np.c_[p, 1 - p, p / 2], labels=np.eye(3, dtype=int)[y])
    for words in (("evaluate", "a.npz", "--binary"), ("evaluate", "l.npz", "--multilabel")):
        code, _, err = recuse(*words)
        assert (code, err.count("as probabilities do")) == (2, 1), words
    imported = "import", "a.csv", "--outputs", "p", "--out", "b.npz"
    assert "--binary, its logit" in recuse(*imported)[2]
    code, _, err = recuse(*imported, "--binary")
    assert (code, "declare them by --probs" in err) == (2, True)
    assert recuse(*imported, "--probs")[0] == 0
    assert read(tmp_path / "b.npz").kind == "probs"
    assert recuse(*imported, "--probs", "--binary")[2].startswith("recuse: expected --binary or")


def test_import_takes_what_looks_like_percentages_for_logits_if_told(recuse, tmp_path):
    text(tmp_path / "a.csv", {f"output_{k}": 100 * P[:, k] for k in range(3)} | {"y": Y})
    code, _, err = recuse("import", "a.csv", "--out", "a.npz")
    assert (code, "--logits" in err) == (2, True)
    assert recuse("import", "a.csv", "--out", "a.npz", "--logits")[0] == 0
    assert read(tmp_path / "a.npz").kind == "logits"


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


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_missing_output_is_refused_and_a_missing_note_is_not(name, tmp_path):
    def written(**columns):
        if name == "a.csv":
            cells = {k: ["" if x is None else x for x in v] for k, v in columns.items()}
            return text(tmp_path / name, cells)
        pa = pytest.importorskip("pyarrow")
        table = pa.table({k: list(v) for k, v in columns.items()})
        pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / name)
        return tmp_path / name

    columns = {**probs(), "y_true": TEXT, "note": [None, "a"] * 30, "age": [None, 3] * 30}
    np.testing.assert_array_equal(read(written(**columns)).labels, Y)
    for column in ("prob_dog", "y_true"):
        what = f"column '{column}', got (1 without|an empty cell)"
        missing = [None, *columns[column][1:]]
        with pytest.raises(InputError, match=what):
            read(written(**{**columns, column: missing}))


def test_a_column_of_few_values_looks_like_subgroups():
    n = 600
    y = np.arange(n) % 2
    table = {"logit_0": 3.0 * y - 1, "logit_1": np.sin(np.arange(n)), "y": y}
    for column, use in (
        ({"site": np.arange(n) % 2}, r"subgroups \(2 values in 600 rows\): .*--by site, in Python"),
        ({"patient": np.arange(n) // 3}, r"groups \(200 values in 600 rows\): .*--group patient"),
        ({"site": np.arange(n) // 40}, r"subgroups \(15 values"),
        ({"site": np.arange(n) // 20}, r"groups \(30 values"),
        ({"file": np.arange(n)}, r"ids \(a value for each row\)"),
    ):
        with pytest.warns(DataWarning, match=f"the frame: column .* looks like {use}"):
            from_frame(table | column)
    from_frame(table | {"site": np.zeros(n, int)})  # says nothing of a constant


def patients(n=800, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    score = (2 * y - 1) * 1.5 + rng.normal(size=n)
    rows = {"logit_0": -score, "logit_1": score, "y": y, "patient": np.arange(n) // 2 + seed * n}
    return {name: x.tolist() for name, x in rows.items()}


def test_a_doubt_about_groups_stays_with_the_guarantee(recuse, tmp_path):
    clause = "rows are taken as independent though column `patient` repeats"
    for seed, name in enumerate(("tune", "calibrate")):
        text(tmp_path / f"{name}.csv", patients(seed=seed))
        assert recuse("import", f"{name}.csv", "--out", f"{name}.npz", "--quiet")[0] == 0
        named = "import", f"{name}.csv", "--out", f"{name}-grouped.npz", "--group", "patient"
        assert recuse(*named)[0] == 0
    with pytest.warns(DataWarning, match="patient is not used"):
        frames = [from_frame(patients(seed=seed)) for seed in (0, 1)]
    for goal in ({"target_risk": 0.1}, {"coverage": 0.5}, {"costs": [[0, 5, 1], [5, 0, 1]]}):
        found = recuse_package.fit(*frames, **goal, learned=False)
        assert found.guarantee.ungrouped == ("patient",)
        assert clause in str(found.guarantee)
        found.save(tmp_path / "saved.json")
        assert Rejector.load(tmp_path / "saved.json") == found
    options = "--target-risk", "0.1", "--no-learned", "--force"
    code, out, _ = recuse("fit", "--tune", "tune.npz", "--calibrate", "calibrate.npz", *options)
    assert (code, " ".join(out.split()).count(clause)) == (0, 1)
    code, out, _ = recuse("predict", "rejector.json", "calibrate.npz")
    assert (code, " ".join(out.split()).count(clause)) == (0, 1)
    by_class = recuse_package.fit(*frames, target_risk=0.2, subgroups="class", learned=False)
    assert clause in str(by_class.guarantee)
    files = [f"{name}-grouped.npz" for name in ("tune", "calibrate")]
    code, out, _ = recuse("fit", "--tune", files[0], "--calibrate", files[1], *options)
    assert (code, clause in " ".join(out.split())) == (0, False)
    assert "ungrouped" not in (tmp_path / "rejector.json").read_text()
    pieces = split_rows(read(tmp_path / "tune.npz"), {"a": 0.5, "b": 0.5})
    assert {piece.ungrouped for piece in pieces.values()} == {("patient",)}
    wrong = json.loads((tmp_path / "saved.json").read_text())
    wrong["rules"][0]["guarantee"]["ungrouped"] = []
    body = {k: v for k, v in wrong.items() if k != "checksum"}
    with pytest.raises(InputError, match="expected `ungrouped` columns"):
        Rejector.from_dict({**body, "checksum": checksum(body)})


def test_ids_are_told_before_ignored_rows_are_left_out():
    y = np.where(np.arange(60) % 7 == 0, -100, Y)
    with pytest.warns(DataWarning, match=r"file is not used and looks like ids \(a value for each"):
        from_frame({**probs(), "y": y, "file": np.arange(60)}, ignore_index=-100)


def test_a_column_of_parquet_that_looks_like_groups_is_said(recuse, tmp_path):
    pa = pytest.importorskip("pyarrow")
    columns = {"logits": list(Z), "label": Y, "doc_id": np.arange(60) // 5, "age": Y}
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), tmp_path / "a.parquet")
    message = r"a.parquet: column doc_id is not used and looks like groups \(12 values in 60 rows"
    with pytest.warns(DataWarning, match=message) as said:
        assert read(tmp_path / "a.parquet").groups is None
    assert len(said) == 1
    code, _, err = recuse("evaluate", "a.parquet")
    assert (code, err.count("looks like groups (12 values")) == (0, 1)


@pytest.mark.parametrize("cell", ["", "  "])
def test_an_empty_cell_of_a_group_is_refused(cell, tmp_path):
    groups = ["a", cell, *["b"] * 58]
    path = text(tmp_path / "a.csv", {**probs(), "y_true": TEXT, "group": groups})
    with pytest.raises(InputError, match="no empty cell in column 'group', got 1, line 3"):
        read(path)


def test_a_line_of_jsonl_ends_where_the_line_ends(tmp_path):
    rows = [{"text": "a\u2028b", "probs": p, "label": y} for p, y in zip(P.tolist(), Y.tolist())]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    np.testing.assert_array_equal(read(path).labels, Y)
    path.write_text(json.dumps(rows[0]) + "\n{no", encoding="utf-8")
    with pytest.raises(InputError, match=r"a.jsonl: line 2: expected an object, got {no"):
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


def options(n=60, field="logprobs", known=True):
    """Objects of the log-probabilities of three options, by name."""
    rows = [
        {"id": f"q{i}", field: dict(zip("ABC", z)), "label": "ABC"[y]}
        for i, (z, y) in enumerate(zip(Z[:n].tolist(), Y[:n].tolist()))
    ]
    return rows if known else [{k: v for k, v in row.items() if k != "label"} for row in rows]


def jsonl(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def form_of(rows, form):
    """The same outputs as an object, as fields of their own, or as a list."""
    for row in rows:
        of = row.pop("logprobs")
        if form == "flat":
            row |= {f"logprob_{k}": v for k, v in of.items()}
        elif form == "list":
            row["logprobs"] = [of.get(k) for k in "ABC"]
            while row["logprobs"][-1] is None and "C" not in of:
                row["logprobs"].pop()
            row["label"] = "ABC".index(row["label"])
        else:
            row["logprobs"] = of
    return rows


@pytest.mark.parametrize("form", ["object", "flat", "list"])
def test_null_missing_and_minus_infinity_are_one_impossible_option_in_every_form(form, tmp_path):
    rows = options()
    wrong = [next(k for k in "ABC" if k != row["label"]) for row in rows]
    rows[0]["logprobs"][wrong[0]] = None
    rows[1]["logprobs"][wrong[1]] = "-Infinity"
    rows[2]["logprobs"][wrong[2]] = -np.inf
    gone = next(i for i in range(3, 60) if rows[i]["label"] != "C")
    del rows[gone]["logprobs"]["C"]
    path = jsonl(tmp_path / "a.jsonl", form_of(rows, form))
    table, told = read_table(path)
    none = np.isneginf(table.logits)
    assert np.flatnonzero(none.any(axis=1)).tolist() == [0, 1, 2, gone]
    assert none.sum() == told.impossible == 4
    assert none[gone, 2]
    said = "60 rows, 4 outputs of impossible classes (-inf, null or missing)."
    assert next(reading_lines(table, told)) == said


def test_minus_infinity_is_counted_without_null(tmp_path):
    z = Z.copy()
    z[np.arange(5), (Y[:5] + 1) % 3] = -np.inf
    path = text(tmp_path / "a.csv", {**dict(zip(("logit_a", "logit_b", "logit_c"), z.T)), "y": Y})
    said = "60 rows, commas between cells, 5 outputs of impossible classes (-inf)."
    assert next(reading_lines(*read_table(path))) == said


def test_a_missing_probability_is_0_if_the_others_sum_to_1(tmp_path):
    rows = options(field="probs")
    for row in rows:
        row["probs"] = {k: 1 / 3 for k in "ABC"}
    out = "C" if rows[0]["label"] != "C" else "A"
    rows[0]["probs"] = {k: 0.5 for k in "ABC" if k != out}
    found, told = read_table(jsonl(tmp_path / "a.jsonl", rows))
    assert np.isneginf(found.logits).sum() == told.impossible == 1
    rows[0]["probs"] = {"A": 0.4}
    with pytest.raises(InputError, match="expected a number in every row of column 'probs_"):
        read_table(jsonl(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize(
    "asked", ["option_logprobs", "option_logprobs*", "option_logprobs_*", None]
)
@pytest.mark.parametrize("form", ["object", "flat"])
def test_outputs_of_any_field_are_named_by_their_options(asked, form, tmp_path):
    rows = options(field="option_logprobs")
    if form == "flat":
        for row in rows:
            row |= {f"option_logprobs_{k}": v for k, v in row.pop("option_logprobs").items()}
    path = jsonl(tmp_path / "a.jsonl", rows)
    outputs = asked or [f"option_logprobs_{k}" for k in "ABC"]  # the labels tell
    found = read(path, outputs=outputs, kind="logits")
    assert found.class_names == ("A", "B", "C")
    assert found.labels.tolist() == Y.tolist()


def test_options_are_named_without_labels_where_the_field_is_named(tmp_path):
    rows = options(field="option_logprobs", known=False)
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert read(path, outputs="option_logprobs", kind="logits").class_names == ("A", "B", "C")
    with pytest.raises(InputError, match="expected a column 'option_logprob'"):
        read(path, outputs="option_logprob")


def test_a_prefix_of_two_words_is_recognised(tmp_path):
    path = text(
        tmp_path / "a.csv", {**{f"pred_proba_{k}": v for k, v in zip(NAMES, P.T)}, "y": TEXT}
    )
    assert (read(path).kind, read(path).class_names) == ("probs", NAMES)


@pytest.mark.parametrize("form", ["nan", "null"])
def test_an_empty_cell_and_nan_are_no_impossible_class(form, tmp_path):
    z = Z[:6].copy()
    z[2, 1] = np.nan
    said = r"in every row of column 'log.+', got 1 without, line .: write -inf where a class is imp"
    path = tmp_path / "a.jsonl"
    if form == "nan":
        path.write_text("\n".join(json.dumps({"logits": row}) for row in z.tolist()))
    else:
        cells = [["" if x != x else x for x in column] for column in z.T.tolist()]
        path = text(tmp_path / "a.csv", dict(zip(("logit_a", "logit_b", "logit_c"), cells)))
    with pytest.raises(InputError, match=said):
        read(path)


def test_a_missing_confidence_is_refused(tmp_path):
    rows = [{"confidence": None if i == 3 else i / 10, "correct": i % 2} for i in range(10)]
    with pytest.raises(InputError, match="a number in every row of column 'confidence', got 1"):
        read(jsonl(tmp_path / "a.jsonl", rows))


def masked_labels(rows, k=2):
    """Logits of which the class k is impossible in some rows that have it as label."""
    z, y = Z.copy(), Y.copy()
    y[rows] = k
    z[rows, k] = -np.inf
    return z, y


SAID = r"label kite is impossible \(-inf\) in 3 rows, the first is row 4: they count as errors"


def test_a_label_that_is_impossible_is_said_with_its_rows(tmp_path):
    z, y = masked_labels([4, 9, 20])
    names = ["auk", "gull", "kite"]
    frame = {**dict(zip(("logit_auk", "logit_gull", "logit_kite"), z.T)), "y": np.array(names)[y]}
    with pytest.warns(DataWarning, match=SAID):
        given = from_frame(frame)
    with pytest.warns(DataWarning, match=SAID):
        from_arrays(z, y, classes=names)
    write_logits(tmp_path / "a.npz", given)
    with pytest.warns(DataWarning, match=SAID):
        read(tmp_path / "a.npz")
    with pytest.warns(DataWarning, match=r"label 2 is impossible \(-inf\) in 1 row, row 4: it"):
        recuse_package.tune(*masked_labels([4]))
    some, odd = masked_labels([4, 9, 20])
    odd[30], some[30, 0] = 0, -np.inf
    with pytest.warns(
        DataWarning, match=r"most often 2 \(3 rows\), is impossible \(-inf\) in 4 rows"
    ):
        from_arrays(some, odd)


@pytest.mark.parametrize("command", ["import", "evaluate", "fit", "predict", "sketch"])
def test_commands_say_once_that_labels_are_impossible(command, tmp_path, recuse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    z, y = masked_labels([4, 9, 20])
    cells = [[*column] for column in z.T.tolist()]
    names = ("logit_auk", "logit_gull", "logit_kite")
    text(tmp_path / "a.csv", {**dict(zip(names, cells)), "y": np.array(["auk", "gull", "kite"])[y]})
    if command == "predict":
        text(
            tmp_path / "b.csv", {**dict(zip(names, Z.T)), "y": np.array(["auk", "gull", "kite"])[Y]}
        )
        assert recuse("fit", "b.csv", "--target-risk", ".6", "--out", "r.json")[0] == 0
    given = {
        "import": ("a.csv", "--out", "a.npz"),
        "evaluate": ("a.csv",),
        "fit": ("a.csv", "--target-risk", ".6", "--out", "r2.json"),
        "predict": ("r.json", "a.csv", "--out", "d.csv"),
        "sketch": ("a.csv", "--out", "sketch.npz"),
    }[command]
    code, _, err = recuse(command, *given)
    assert code in (0, 1), err
    assert len(re.findall(SAID.replace("kite", "(kite|2)"), err)) == 1


# Classes in another order


def permuted(file, order=(2, 0, 1)):
    """The same file with its classes in another order, and labels that count so."""
    place = np.argsort(order)
    return from_arrays(
        file.outputs[:, order], place[file.labels], kind=file.kind, name=file.name,
        classes=[file.class_names[k] for k in order],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_a_file_of_the_classes_in_another_order_is_decided_alike(
    kind, tmp_path, recuse, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    given = from_arrays(Z if kind == "logits" else P, Y, kind=kind, classes=NAMES)
    rejector = recuse_package.fit(given, target_risk=0.6)
    other = permuted(given)
    found, said = rejector.predict(given), "predictions are indices of cat, dog and eel"
    with pytest.warns(DataWarning, match=said):
        again = rejector.predict(other)
    for a, b in zip(found, again):
        np.testing.assert_array_equal(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rejector.predict(dataclasses.replace(other, labels=None))
    each = [summarize(file, found, rejector) for file in (given, other)]
    assert each[0].errors == each[1].errors
    evaluated = [recuse_package.evaluate({"a": f}, rejector=rejector)["a"] for f in (given, other)]
    assert evaluated[0].errors == evaluated[1].errors
    for name, file in (("a", given), ("b", other)):
        write_logits(f"{name}.npz", file)
    rejector.save("r.json")
    lines = [recuse("predict", "r.json", f"{name}.npz")[1] for name in "ab"]
    assert lines[0].splitlines()[:3] == lines[1].splitlines()[:3]


@pytest.mark.parametrize("ignore", [None, 255])
def test_labels_follow_the_order_of_the_classes(ignore):
    z = RNG.normal(size=(4, 3, 2, 2))
    y = RNG.integers(0, 3, (4, 2, 2))
    if ignore:
        y[0, 0, 0] = ignore
    file = from_arrays(z, y, classes=NAMES, ignore_index=ignore)
    found = file.in_order(("eel", "cat", "dog"))
    wrong = file.predicted != file.labels
    np.testing.assert_array_equal(found.predicted != found.labels, wrong)
    assert found.in_order(NAMES).digest == file.digest


def test_a_binary_head_in_another_order_and_other_classes_are_refused():
    given = from_arrays(Z[:, 0], Y == 0, kind="binary", classes=("no", "yes"))
    rejector = recuse_package.fit(given, target_risk=0.6)
    other = dataclasses.replace(given, class_names=("yes", "no"))
    with pytest.raises(InputError, match="the classes of the fit, 'no' in column 0, got 'yes'"):
        rejector.predict(other)
    given = from_arrays(Z, Y, classes=NAMES)
    rejector = recuse_package.fit(given, target_risk=0.6)
    with pytest.raises(InputError, match="'dog' in column 1, got 'dgo': did you mean 'dog'"):
        rejector.predict(dataclasses.replace(given, class_names=("cat", "dgo", "eel")))


# Confidences in the wrong direction


@pytest.mark.parametrize("form", ["1 - c", "-c", "entropy", "rare"])
def test_confidences_of_which_smaller_are_more_certain_are_told_to_be_negated(form):
    rng = np.random.default_rng(0)
    if form == "rare":  # of one of two classes, of which one is rare
        c = rng.beta(0.3, 1.5, 4000)
        right = rng.uniform(size=4000) < np.maximum(c, 1 - c)
        said = r"the confidence is then max\(p, 1 - p\)"
    else:
        c = rng.uniform(0.4, 1, 2000)
        right = rng.uniform(size=2000) < c
        c = {"1 - c": 1 - c, "-c": -c, "entropy": 5 * (1 - c)}[form]
        said = "smaller seems more certain here; negate them"
    with pytest.warns(DataWarning, match=said):
        from_arrays(c, right, kind="confidences")


def test_confidences_in_the_right_direction_are_not_told_so():
    rng = np.random.default_rng(0)
    c = rng.uniform(0, 1, 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_arrays(c, rng.uniform(size=2000) < c, kind="confidences")
        from_arrays(c, rng.uniform(size=2000) < 0.8, kind="confidences")


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
    with pytest.raises(InputError, match="expected probs, as the file says, got binary"):
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
        recuse_package.tune(outputs, Y)


def test_outputs_of_a_doubtful_kind_are_said_or_refused():
    with pytest.warns(DataWarning, match='sums to 1; if these are prob.* kind="probs"'):
        assert from_arrays(P, Y).kind == "logits"
    with pytest.warns(DataWarning, match="sums to 1; if these are prob"):
        from_frame({f"logit_{k}": P[:, k] for k in range(3)} | {"y": Y})
    for bad, told in ((P * 100, "as percentages do"), (1 / (1 + np.exp(-Z)), "as of sigmoids")):
        with pytest.raises(InputError, match=f"{told}; divide percentages by 100, and each row"):
            from_frame(dict(zip(NAMES, bad.T)) | {"y": TEXT})
    with pytest.raises(InputError, match=r"with the sum 100 at .*; percent. divide by 100"):
        from_arrays(P * 100, Y, kind="probs")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_outputs_of_no_told_kind_are_told_by_their_values(name, tmp_path):
    for outputs, kind in ((P, "probs"), (Z, "logits")):
        np.save(tmp_path / name, outputs)
        if name == "a.npz":
            np.savez(tmp_path / name, outputs=outputs)
        assert read(tmp_path / name).kind == kind


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
    rejector = recuse_package.fit(tune[1:], calibrate[1:], target_risk=0.1, kind="probs")
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
    of_probs = recuse_package.fit(tune[1:], calibrate[1:], target_risk=0.1, kind="probs")
    of_logits = recuse_package.fit(tune[::2], calibrate[::2], target_risk=0.1, learned=False)
    with pytest.raises(InputError, match=r"expected `probs` in .0, 1."):
        of_probs.predict(test[0])
    with pytest.raises(InputError, match=r"expected logits, as in the fit, got rows in .0, 1."):
        of_logits.predict(test[1])
    with pytest.warns(DataWarning, match="expected logits, as in the fit"):
        of_logits.predict(test[1][:1])
    with pytest.raises(InputError, match="expected probs, as in the fit, got logits"):
        of_probs.predict(from_arrays(test[0]))


def test_a_rejector_knows_the_names_of_its_classes():
    tune, calibrate, _ = (from_arrays(z, y, classes=NAMES) for z, _, y in halves())
    rejector = recuse_package.fit(tune, calibrate, target_risk=0.1, learned=False)
    assert rejector.class_names == NAMES
    again = type(rejector).from_dict(rejector.to_dict())
    assert again.class_names == NAMES


# The table of docs/files.md: each line runs, on data whose errors are known

PAGE = (Path(__file__).parent.parent / "docs/files.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| (.+?) \| `(.+)` \| (\w+) \|$", PAGE, re.MULTILINE)
X = np.column_stack([Z, RNG.normal(size=(60, 2))]).astype(np.float32)
TWO = Y != 2  # rows of the classes 0 and 1
ROWS = {"image": [f"i{i}" for i in range(60)], "patient": np.arange(60) // 3}


def wrong_of(outputs, labels=Y):
    return outputs.argmax(axis=1) != labels


def binary_rows():
    """The rows of two classes, and the logit of the second."""
    logit = Z[TWO, 1] - Z[TWO, 0]
    return logit, Y[TWO], (logit > 0) != Y[TWO]


class PredictionOutput(NamedTuple):  # as of Transformers
    predictions: Any
    label_ids: Any
    metrics: Any


def network(torch):
    model = torch.nn.Linear(5, 3)
    with torch.no_grad():
        model.weight[:] = torch.eye(3, 5)
        model.bias[:] = 0
    return model


def of_sklearn(name):
    found = {
        "predict_proba": ("sklearn.linear_model", "LogisticRegression", slice(None)),
        "decision_function": ("sklearn.svm", "LinearSVC", TWO),
        "several": ("sklearn.linear_model", "RidgeClassifier", slice(None)),
    }
    module, made, rows = found[name]
    clf = getattr(pytest.importorskip(module), made)().fit(X[rows], TEXT[rows])
    return {"clf": clf, "x": X[rows], "y": TEXT[rows]}, clf.predict(X[rows]) != TEXT[rows]


def of_xgboost(rows, options):
    model = pytest.importorskip("xgboost").XGBClassifier(n_estimators=3, n_jobs=1, **options)
    model.fit(X[rows], Y[rows])
    return {"clf": model, "x": X[rows], "y": Y[rows]}, model.predict(X[rows]) != Y[rows]


def of_lightgbm():
    options = {"n_estimators": 3, "n_jobs": 1, "min_child_samples": 5, "verbose": -1}
    clf = pytest.importorskip("lightgbm").LGBMClassifier(**options).fit(X, TEXT)
    return {"clf": clf, "x": X, "y": TEXT}, clf.predict(X) != TEXT


def of_keras(units, activation, rows):
    keras = pytest.importorskip("keras")
    layer = keras.layers.Dense(units, activation=activation)
    model = keras.Sequential([keras.Input((5,)), layer])
    out = np.asarray(model.predict(X[rows], verbose=0))
    prediction = out.argmax(axis=1) if units > 1 else out[:, 0] > 0.5
    return {"model": model, "x": X[rows], "y": Y[rows]}, prediction != Y[rows]


def of_torch(dtype=None):
    torch = pytest.importorskip("torch")
    model, x, y = network(torch), torch.tensor(X), torch.tensor(Y)
    out = model(x) if dtype is None else model(x).bfloat16().float()
    return {"model": model, "x": x, "y": y}, wrong_of(out.detach().numpy())


def of_a_loader():
    torch = pytest.importorskip("torch")
    given, wrong = of_torch()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(given["x"], given["y"]), 25)
    return {"model": given["model"], "loader": loader}, wrong


def of_a_trainer(tokens):
    pytest.importorskip("torch")
    integration = pytest.importorskip("recuse.integrations.transformers")
    z, y = (Z.reshape(12, 5, 3), Y.reshape(12, 5).copy()) if tokens else (Z, Y)
    if tokens:
        y[:, -1] = -100
    given = {"held_out": integration.held_out, "output": PredictionOutput(z, y, None)}
    return given, (z.argmax(axis=-1) != y)[y != -100].ravel()


def of_arrays(labels, outputs=Z, **more):
    return {"outputs": outputs, "labels": labels, **more}, wrong_of(outputs)


def of_signs():
    logit, y, wrong = binary_rows()
    return {"outputs": logit, "labels": 2 * y - 1}, wrong


def of_booleans():
    logit, y, wrong = binary_rows()
    return {"outputs": 1 / (1 + np.exp(-logit)), "labels": y == 1}, wrong


def of_ignored():
    return {"outputs": Z, "labels": np.where(Y == 2, -100, Y)}, wrong_of(Z)[Y != 2]


def of_pixels():
    z, y = Z.reshape(5, 3, 4, 3).transpose(0, 3, 1, 2), Y.reshape(5, 3, 4).copy()
    y[:, 0] = 255
    return {"outputs": z, "labels": y}, (z.argmax(axis=1) != y)[y != 255]


def of_frame(library, columns, wrong=None):
    made = pytest.importorskip(library).DataFrame({k: list(v) for k, v in columns.items()})
    return {"df": made}, wrong_of(P) if wrong is None else wrong


def of_a_sigmoid():
    logit, y, wrong = binary_rows()
    named = {k: np.asarray(v)[TWO] for k, v in ROWS.items()}
    return {**named, "sigmoid": (1 / (1 + np.exp(-logit))).round(4), "label": y}, wrong


def of_text(name, columns, separator=",", wrong=None):
    text(Path(name), columns, separator)
    return {}, wrong_of(P) if wrong is None else wrong


def of_answers(name):
    rows = [
        {"id": f"q{i}", "logprobs": dict(zip("ABC", np.log(p).tolist())), "label": "ABC"[y]}
        for i, (p, y) in enumerate(zip(P, Y))
    ]
    Path(name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return {}, wrong_of(P)


def of_parquet():
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pa.table({"pred_proba": list(P), "target": TEXT, "age": Y}), "predictions.parquet"
    )
    Path("classes.txt").write_text("\n".join(NAMES))
    return {}, wrong_of(P)


def of_npz(name, **arrays):
    np.savez(name, **arrays)
    return {}, wrong_of(Z)


def of_npy(**arrays):
    for name, array in arrays.items():
        np.save(name, array)
    return {"np": np}, wrong_of(P)


def of_names():
    Path("config.json").write_text(json.dumps({"id2label": dict(enumerate(NAMES))}))
    return of_text("numbers.csv", {f"logit_{k}": Z[:, k] for k in range(3)} | {"label": Y})


def of_shards():
    for part in range(3):
        write_logits(f"shards/rank-{part}.npz", Z[part::3], Y[part::3])
    return {}, wrong_of(Z)


def of_sketches():
    recuse_package.CurveSketch().update(recuse_package.scores.msp(Z), wrong_of(Z)).save(
        "sketch.npz"
    )
    return {}, wrong_of(Z)


def of_findings():
    truth = Z + RNG.normal(size=Z.shape) > 0
    np.savez("findings.npz", logits=Z, labels=truth.astype(int))
    return {}, ((Z > 0) != truth).ravel()


COMMAS = {k: [str(x).replace(".", ",") for x in v.round(6)] for k, v in probs().items()}
NUMBERED = {f"prob_{k + 1}": P[:, k] for k in range(3)}
PAIRS_ONLY = {"correct": (~wrong_of(P)).astype(int)}
PAIRS = {"confidence": P.max(axis=1), **PAIRS_ONLY}


def of_json_lines():
    rows = zip(P.max(axis=1).tolist(), np.array(NAMES)[P.argmax(axis=1)].tolist(), TEXT)
    lines = (json.dumps({"confidence": c, "prediction": p, "label": y}) for c, p, y in rows)
    Path("graded.jsonl").write_text("\n".join(lines) + "\n")
    return {}, wrong_of(P)


GIVEN = {  # the first cell of each line: its data, and which predictions are wrong
    "scikit-learn, `predict_proba`": lambda: of_sklearn("predict_proba"),
    "scikit-learn, `decision_function`, two classes": lambda: of_sklearn("decision_function"),
    "scikit-learn, `decision_function`, more classes": lambda: of_sklearn("several"),
    "XGBoost, margins, two classes": lambda: of_xgboost(TWO, {}),
    "XGBoost, margins, more classes": lambda: of_xgboost(slice(None), {}),
    "LightGBM, raw scores": of_lightgbm,
    "Keras, softmax": lambda: of_keras(3, "softmax", slice(None)),
    "Keras, one sigmoid": lambda: of_keras(1, "sigmoid", TWO),
    "PyTorch, logits": of_torch,
    "PyTorch, bfloat16": lambda: of_torch("bfloat16"),
    "PyTorch, a loader": of_a_loader,
    "Transformers, `output = trainer.predict(dataset)`": lambda: of_a_trainer(False),
    "the same, token classification": lambda: of_a_trainer(True),
    "text labels": lambda: of_arrays(TEXT),
    "one-hot labels": lambda: of_arrays(np.eye(3)[Y]),
    "labels as floats": lambda: of_arrays(Y.astype(float)),
    "labels from 1": lambda: of_arrays(Y + 1),
    "labels -1 and 1": of_signs,
    "labels true and false, one probability": of_booleans,
    "labels of -100 that do not count": of_ignored,
    "rounded probabilities": lambda: of_arrays(Y, P.round(3)),
    "percent": lambda: of_arrays(Y, (P * 100).round(1)),
    "pixels, (n, K, H, W)": of_pixels,
    "pandas, `prob_cat`, `prob_dog`, ... and `y_true` of text": lambda: of_frame(
        "pandas", {**probs(), "y_true": TEXT}
    ),
    "pandas, columns named as the classes": lambda: of_frame(
        "pandas", {**probs((2, 0, 1), ""), "species": TEXT, "age": Y}
    ),
    "pandas, `prob_1`, `prob_2`, ... and labels from 1": lambda: of_frame(
        "pandas", {**NUMBERED, "label": Y + 1}
    ),
    "polars, a column of lists": lambda: of_frame("polars", {"logits": list(Z), "label": Y}),
    "pandas or polars, one sigmoid, several images a patient": lambda: of_frame(
        "polars", of_a_sigmoid()[0], of_a_sigmoid()[1]
    ),
    "CSV": lambda: of_text("predictions.csv", {**probs(), "y_true": TEXT}),
    "CSV with semicolons and decimal commas": lambda: of_text(
        "german.csv", {**COMMAS, "y_true": TEXT}, ";"
    ),
    "TSV, columns of other names": lambda: of_text(
        "raw.tsv", {**probs((1, 2, 0), "out."), "species": TEXT}, "\t"
    ),
    "CSV, one sigmoid, several images a patient": lambda: of_text(
        "sigmoid.csv", of_a_sigmoid()[0], wrong=of_a_sigmoid()[1]
    ),
    "CSV, class names in a `config.json`": of_names,
    "CSV, a column for results by subgroup": lambda: of_text(
        "sites.csv", {**probs(), "y_true": TEXT, "site": Y % 2}
    ),
    "parquet, a column of lists and text labels": of_parquet,
    "`.npz` of other names": lambda: of_npz("arrays.npz", probs=P, y=Y),
    "`.npy`, outputs alone": lambda: of_npy(probs=P),
    "`.npy`, outputs and labels": lambda: of_npy(outputs=P, labels=Y),
    "`.npz` of `predictions` and `label_ids`": lambda: of_npz(
        "predictions.npz", predictions=Z, label_ids=Y
    ),
    "the same of tokens, (B, T, K)": lambda: of_npz(
        "tokens.npz", predictions=Z.reshape(12, 5, 3), label_ids=Y.reshape(12, 5)
    ),
    "JSONL, log-probabilities of options": lambda: of_answers("answers.jsonl"),
    "shards": of_shards,
    "a sketch": of_sketches,
    "several labels a row": of_findings,
    "confidence and correct": lambda: of_text("confidences.csv", PAIRS),
    "the same, several answers a document": lambda: of_text(
        "confidences.csv", {**PAIRS, "doc_id": np.arange(60) // 2}
    ),
    "confidence, prediction and label, JSONL": of_json_lines,
    "several confidences": lambda: of_text(
        "several.csv", {"conf_top": P.max(axis=1), "conf_gap": np.ptp(P, axis=1), **PAIRS_ONLY}
    ),
    "confidence and correct, arrays": lambda: (
        {"confidence": P.max(axis=1), "correct": ~wrong_of(P)},
        wrong_of(P),
    ),
    "confidence and loss (`evaluate`, `compare`, `sketch`, `fit` and `predict`)": lambda: of_text(
        "losses.csv", {"confidence": P.max(axis=1), "loss": wrong_of(P) * 1}
    ),
}


def test_every_line_of_the_page_is_run():
    assert [have for have, _, _ in LINES] == [*GIVEN]


@pytest.mark.parametrize(("have", "line", "kind"), LINES, ids=[have for have, _, _ in LINES])
def test_the_line_of_the_page_takes_it(have, line, kind, recuse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    given, wrong = GIVEN[have]()
    if not line.startswith("recuse "):
        check_held_out(eval(line, {"rc": sys.modules["recuse"], **given}), wrong, kind)
        return
    command = shlex.split(line)[1:]
    if command[0] == "import":
        code, out, err = recuse(*command)
        assert (code, err, len(out.splitlines())) == (0, "", 4)
        check_held_out(read(command[command.index("--out") + 1]), wrong, kind)
    else:
        code, out, _ = recuse(*command, "--json")
        found, *_ = json.loads(out)["files"]  # of several labels, that of all together is first
        assert code == 0
        assert found["accuracy"] == pytest.approx(1 - wrong.mean())


def check_held_out(found, wrong, kind):
    assert found.kind == kind
    flat = found.predictions()
    prediction = flat.predicted
    if flat.labels is None:
        np.testing.assert_array_equal(prediction != Y, wrong)
    else:
        np.testing.assert_array_equal(prediction != flat.labels, wrong)


def test_a_class_without_a_label_is_not_dropped():
    with pytest.raises(InputError, match="numbers in eel, perhaps of a class without a label"):
        from_frame({**probs(prefix=""), "target": ["cat"] * 30 + ["dog"] * 30})


@pytest.mark.parametrize(
    "asked", [{}, {"labels": "correct", "outputs": "confidence"}, {"kind": "confidences"}]
)
def test_whether_a_prediction_is_correct_is_no_label(asked):
    table = {"confidence": P.max(axis=1), "correct": (P.argmax(axis=1) == Y) * 1}
    found = from_frame(table, **asked)
    assert (found.kind, found.class_names, found.logits.shape) == ("confidences", None, (60, 1))
    np.testing.assert_array_equal(found.labels, table["correct"])
    with pytest.raises(InputError, match="expected probs, got a table of confidences"):
        from_frame(table, kind="probs")


def test_new_rows_are_found_and_ordered_by_the_classes_of_the_rejector(recuse, tmp_path):
    parts = [from_arrays(p, y, kind="probs", classes=NAMES) for _, p, y in halves()]
    recuse_fit(parts).save(tmp_path / "r.json")
    expected = parts[2].probs
    for name, prefix, columns in (("same", "", (0, 1, 2)), ("moved", "prob_", (2, 0, 1))):
        found = {f"{prefix}{NAMES[k]}": expected[:, k] for k in columns}
        text(tmp_path / f"{name}.csv", found)
        rc, _, err = recuse("predict", "r.json", f"{name}.csv", "--out", f"{name}-d.csv")
        assert rc == 0
        assert "cannot be checked" not in err
    assert (tmp_path / "same-d.csv").read_text() == (tmp_path / "moved-d.csv").read_text()
    text(tmp_path / "numbered.csv", {f"prob_{k}": expected[:, k] for k in range(3)})
    err = recuse("predict", "r.json", "numbered.csv")[2]
    assert "the file does not name them: their order cannot be checked" in err


def test_subgroups_of_a_file_are_named_by_their_column(recuse, tmp_path):
    for (_, p, y), part in zip(halves(), ("tune", "calibrate", "test")):
        site = np.where(np.arange(len(y)) % 2, "north", "south")
        write_logits(tmp_path / f"{part}.npz", p, y, kind="probs", subgroups={"site": site})
    splits = ("--tune", "tune.npz", "--calibrate", "calibrate.npz", "--target-risk", 0.2)
    assert recuse("fit", *splits, "--by", "site", "--out", "r.json")[0] == 0
    rc, out, _ = recuse("predict", "r.json", "test.npz", "--by", "site")
    assert rc == 0
    assert "north" in out
    assert "south" in out


def recuse_fit(parts):
    return recuse_package.fit(*parts[:2], target_risk=0.1)


# Confidences: the whole way


def graded(n, seed, noise=1.0):
    """Answers of documents of four: confidences in [0, 1] that are right as often as they say."""
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.normal(size=n // 4), 4) + noise * rng.normal(size=n)
    confidence = (1 / (1 + np.exp(-hard - 2))).round(4)
    return confidence, rng.uniform(size=n) < confidence


def table_of(path, n=1200, seed=0):
    c, right = graded(n, seed)
    columns = {"id": np.arange(n), "doc_id": np.arange(n) // 4, "confidence": c, "correct": right}
    text(path, columns)
    return c, right


def test_confidences_go_the_whole_way(recuse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    c, right = table_of(Path("t.csv"))
    err = recuse("evaluate", "t.csv", "--json")[2]
    assert "warning: t.csv: column doc_id is not used and looks like groups (300 values" in err
    code, out, err = recuse("import", "t.csv", "--group", "doc_id", "--out", "h.npz")
    assert (code, err) == (0, "")
    assert "Outputs: confidences, larger is more certain, column confidence." in out
    assert "Columns: correctness from correct, ids id, groups doc_id." in out
    found = json.loads(recuse("evaluate", "h.npz", "--json")[1])["files"][0]
    error = recuse_package.intervals.standard_error(c, ~right, groups=np.arange(1200) // 4)
    assert found["scores"]["confidence"]["aurc_se"] == pytest.approx(error, rel=1e-6)
    assert recuse("split", "h.npz", "--out", "s", "--quiet")[0] == 0
    parts = [read(f"s/{part}.npz") for part in ("tune", "calibrate", "test")]
    fitted = ("fit", "--tune", "s/tune.npz", "--calibrate", "s/calibrate.npz")
    code, out, _ = recuse(*fitted, "--target-risk", "0.15")
    assert code == 0
    assert "one row of each of 120 groups" in out
    assert "Kept confidence: it is the only confidence" in out
    rejector = recuse_package.Rejector.load("rejector.json")
    assert rejector.guarantee.unit == "groups"
    assert recuse("predict", "rejector.json", "s/test.npz", "--out", "d.csv", "--quiet")[0] == 0
    told = {"id": parts[2].ids, "group": parts[2].groups}
    text(Path("new.csv"), {**told, "confidence": parts[2].logits[:, 0]})
    assert recuse("predict", "rejector.json", "new.csv", "--out", "n.csv", "--quiet")[0] == 0
    assert Path("d.csv").read_text() == Path("n.csv").read_text()
    header, first_row, *_ = Path("d.csv").read_text().splitlines()
    assert header == "id,confidence,p_correct,accept,group"
    assert float(first_row.split(",")[1]) == pytest.approx(parts[2].logits[0, 0])
    text(Path("log.csv"), {"id": parts[2].ids, "correct": parts[2].labels})
    joined = recuse(
        *("monitor", "rejector.json", "--state", "m.json", "--log", "n.csv", "--log", "log.csv"),
        "--json",
    )
    text(Path("new.csv"), {**of_file(parts[2]), **told, "confidence": parts[2].logits[:, 0]})
    alone = recuse(
        "monitor", "rejector.json", "--state", "k.json", "--log", "new.csv", "--json", "-q"
    )
    one, other = (json.loads(x[1]) for x in (joined, alone))
    assert one["groups"] == np.unique(parts[2].groups).size
    assert one.pop("logs") != other.pop("logs")
    assert one == other
    one_refusal(recuse("diagnose", "h.npz"), "label smoothing leaves its trace in logits")
    one_refusal(
        recuse("export", "rejector.json", "--model", "m.py:f", "--example", "1,2"),
        "the model that gives them is unknown",
    )
    one_refusal(recuse("predict", "rejector.json", "h.npz", "--explain", "3"), "threshold explains")
    one_refusal(recuse("predict", "rejector.json", "h.npz", "--top", "1", "--by", "x"), "no --by")
    one_refusal(recuse("average", "h.npz", "t.csv", "--out", "a.npz"), "outputs of classes")
    one_refusal(recuse(*fitted, "--target-risk", ".15", "--by", "class", "--force"), "by a column")


def test_outcomes_that_are_not_known_yet_are_no_labels(recuse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (c, right), (d, wrong) = graded(400, 0), graded(400, 1)
    parts = [from_arrays(x, y, kind="confidences") for x, y in ((c, right), (d, wrong))]
    recuse_package.fit(*parts, target_risk=0.2).save("r.json")
    c, right = graded(80, 2)
    some = [str(int(y)) if i % 2 else "" for i, y in enumerate(right)]
    claims, truths = ["a"] * 80, [("a" if y == "1" else "b") if y else "" for y in some]
    rows = {"id": np.arange(80), "confidence": c}
    text(Path("none.csv"), {**rows, "correct": [""] * 80})
    text(Path("some.csv"), {**rows, "correct": some})
    text(Path("truth.csv"), {**rows, "prediction": claims, "label": truths})
    seen = []
    for name in ("none.csv", "some.csv", "truth.csv"):
        code, out, err = recuse("predict", "r.json", name, "--json", "--quiet")
        assert (code, "40 of 80 rows have no label yet" in err) == (0, name != "none.csv"), err
        assert json.loads(out)["n"] == 80
        code, out, _ = recuse(
            "monitor", "r.json", "--state", f"{name}.json", "--log", name, "--json"
        )
        assert code == 0
        seen.append(json.loads(out))
        assert "got an empty cell at line" in recuse("evaluate", name)[2] or name == "none.csv"
    accept = recuse_package.Rejector.load("r.json").predict(c).accept
    odd = np.arange(80) % 2 == 1
    assert [s["labelled"] for s in seen] == [0, (accept & odd).sum(), (accept & odd).sum()]
    assert seen[1]["errors"] == seen[2]["errors"] == (accept & odd & ~right).sum()
    text(Path("g.csv"), {**rows, "group": np.arange(80) // 2})
    out = recuse("monitor", "r.json", "--state", "g.json", "--log", "g.csv", "--json")[1]
    assert json.loads(out)["groups"] == 40
    p, y = P[:20], TEXT[:20].copy()
    whole = from_frame({**probs(), "y": TEXT})
    recuse_package.fit(whole, whole, target_risk=0.9, allow_overlap=True).save("c.json")
    y[3] = ""
    text(Path("c.csv"), {**{f"prob_{k}": p[:, i] for i, k in enumerate(NAMES)}, "y_true": y})
    code, _, err = recuse("predict", "c.json", "c.csv")
    assert (code, "1 of 20 rows have no label yet: errors are not counted" in err) == (0, True)


class Frame(dict):
    """A frame that prints in several lines, as those of pandas do."""

    columns = property(lambda self: [*self])

    def __repr__(self):
        return "  confidence\n0  0.5"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Frame(a=[1]), r"or a HeldOut, got a Frame: give rc.from_frame\(df\)$"),
        ("a.csv", r"or a HeldOut, got 'a.csv': if it is a file, give rc.read\(path\)$"),
    ],
)
def test_a_frame_or_a_path_in_place_of_rows_is_told_what_takes_it(given, words):
    for call in (
        lambda: recuse_package.fit(given, given, target_risk=0.1),
        lambda: recuse_package.run(given),
        lambda: recuse_package.tune(given),
        lambda: recuse_package.diagnose(given),
    ):
        with pytest.raises(InputError, match=words):
            call()


class PandasFrame(Frame):
    """What the library takes for a frame of pandas."""

    __module__ = "pandas.core.frame"


def test_a_frame_is_fitted_evaluated_and_planned_as_from_frame_reads_it():
    frame = PandasFrame({**probs(), "y_true": TEXT})
    given = from_frame(frame)
    by_frame, by_file = (recuse_package.fit(x, target_risk=0.6) for x in (frame, given))
    assert by_frame.to_dict() == by_file.to_dict()
    assert str(recuse_package.plan(frame, target_risk=0.3)) == str(
        recuse_package.plan(given, target_risk=0.3)
    )
    of_frame = recuse_package.evaluate(frame, target_risk=0.6)
    assert [m.name for m in of_frame.models] == ["model"]
    with pytest.raises(InputError, match="expected columns of outputs"):
        recuse_package.fit(PandasFrame(a=[1.0], y=["b"]), target_risk=0.5)


def test_one_file_is_evaluated_under_its_name(tmp_path):
    for name, expected in (("net.npz", "net"), ("`outputs`", "model")):
        file = from_arrays(Z, Y, name=name)
        alone, named = (recuse_package.evaluate(x) for x in (file, {expected: file}))
        assert str(alone) == str(named)
    assert recuse_package.evaluate((Z, Y)).models[0].name == "model"


def test_in_python_a_frame_is_told_of_arguments_alone():
    for table in (
        {"cat": [0.1], "dog": [0.2]},
        {"p_a": [0.1], "p_b": [1], "logit_a": [1], "logit_b": [1]},
    ):
        with pytest.raises(InputError, match=r": give outputs=$"):
            from_frame(table)
    with pytest.raises(InputError, match=r": give labels=$"):
        from_frame({**probs(), "y": TEXT, "label": TEXT})


@pytest.mark.parametrize("prefix", ["", "prob_"])
def test_a_class_without_a_column_is_named(prefix):
    given = from_frame({**probs(prefix=prefix), "y": TEXT})
    rejector = recuse_package.fit(given, target_risk=0.6)
    frame = PandasFrame(probs(prefix=prefix))
    frame["other"] = frame.pop(f"{prefix}dog")
    if prefix:
        frame["prob_d og"] = frame.pop("other")
    with pytest.raises(InputError, match="a column for each class: 'dog' is missing, got"):
        rejector.predict(frame)
    del frame[f"{prefix}eel"]
    if not prefix:
        with pytest.raises(InputError, match="'dog' and 'eel' are missing, got"):
            rejector.predict(frame)


def of_file(file):
    return {"id": file.ids, "correct": file.labels}


def one_refusal(answer, words):
    code, out, err = answer
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]


def test_two_confidences_compete_and_the_page_speaks_of_nothing_else(recuse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    c, right = graded(1200, 3)
    noise = np.random.default_rng(0).uniform(size=1200).round(3)
    said = np.where(right, "yes", "no")
    columns = {"conf_a": noise, "conf_b": c, "prediction": said, "label": ["yes"] * 1200}
    text(Path("m.csv"), columns)
    code, out, err = recuse("run", "m.csv", "--target-risk", "0.15", "--out", "o")
    assert code == 2  # two names could mean other things
    assert recuse("import", "m.csv", "--confidences", "--out", "m.parquet", "--quiet")[0] == 0
    code, out, err = recuse("run", "m.parquet", "--target-risk", "0.15", "--out", "o")
    assert (code, err) == (0, "")
    assert "Score: confidence[conf_b] rather than another column" in out
    assert "Training:" not in out
    assert "classes" not in out
    moved = {"conf_b": c[:50], "prediction": said[:50], "conf_a": noise[:50]}
    text(Path("new.csv"), moved)
    assert recuse("predict", "o/rejector.json", "new.csv", "--out", "d.csv", "--quiet")[0] == 0
    rows = [line.split(",") for line in Path("d.csv").read_text().splitlines()]
    assert rows[0] == ["id", "prediction", "confidence", "p_correct", "accept"]
    assert [row[1] for row in rows[1:]] == said[:50].tolist()
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], c[:50], rtol=1e-6)
    page = Path("o/report.html").read_text()
    shown = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    for word in ("MSP", "logit", "classes", "edicted class", "label smoothing", "softmax"):
        assert word not in shown, word
    headings = re.findall(r'<h2 id="([^"]+)"', page)
    assert headings == [
        "decisions",
        "models",
        "curves",
        "confidence",
        "reliability",
        "errors",
        "method",
    ]
    parts = split_rows(read("m.parquet"), {"tune": 0.4, "calibrate": 0.4, "test": 0.2})
    scaled = {k: from_arrays(*logit_of(v), kind="confidences") for k, v in parts.items()}
    found = recuse_package.evaluate({"net": scaled}, target_risk=0.15, progress=False)
    assert "AURC, confidence" in repr(found)
    recuse_package.report(
        found, "p.html", details=recuse_package.reports.details(found, {"net": scaled})
    )
    assert 'id="reliability"' not in Path("p.html").read_text()
    picked = recuse_package.evaluation.pick(
        {
            k: from_arrays(c, right, kind="confidences", ids=np.arange(1200))
            for k, c in {"one": noise, "other": c}.items()
        }
    )
    assert picked.best.name == "other"
    assert "MSP" not in str(picked)


def logit_of(file):
    p = np.clip(file.logits[:, 1], 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p)), file.labels


@pytest.mark.parametrize("name", ["h.npz", "h.parquet", "h.safetensors", "h"])
def test_a_file_keeps_confidences(name, tmp_path):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    c, right = graded(80, 1)
    both = np.stack([c, -c], axis=1)
    both[0, 1] = -np.inf  # of an impossible answer
    given = from_arrays(
        both, right, kind="confidences", classes=["top", "gap"], groups=Y[:1].repeat(80)
    )
    write_logits(tmp_path / name, given)
    found = read(tmp_path / name)
    assert (found.kind, found.class_names, found.digest) == (
        given.kind,
        ("top", "gap"),
        given.digest,
    )
    np.testing.assert_array_equal(found.labels, right)
    np.testing.assert_array_equal(found.loss, ~right)
    np.testing.assert_array_equal(found.logits, both)


def test_a_rejector_of_confidences_has_the_threshold_of_select():
    (c, right), (d, correct), (new, _) = (graded(800, seed) for seed in range(3))
    rejector = recuse_package.fit((c, right), (d, correct), target_risk=0.15, kind="confidences")
    direct = recuse_package.select(d, ~correct, target_risk=0.15, tune=(c, ~right))
    assert rejector.threshold == direct.threshold
    assert rejector.guarantee == direct.guarantee
    again = recuse_package.Rejector.from_dict(json.loads(json.dumps(rejector.to_dict())))
    for given in (new, new[:, None], new.tolist(), from_arrays(new, kind="confidences")):
        decided = again.predict(given)
        np.testing.assert_array_equal(decided.accept, np.float32(new) >= direct.threshold)
        np.testing.assert_array_equal(decided.confidence, np.float32(new))
        assert (decided.prediction == 1).all()
    assert again.predict(np.empty(0)).accept.shape == (0,)
    with pytest.raises(InputError, match="expected 1 confidences a row, as fitted, got 2"):
        again.predict(np.stack([new, new], axis=1))
    with pytest.raises(InputError, match="expected confidences, as in the fit, got logits"):
        again.predict(from_arrays(Z, Y))
    changed = rejector.to_dict() | {"kind": "logits"}
    with pytest.raises(InputError, match="checksum"):
        recuse_package.Rejector.from_dict(changed)


def test_confidences_that_know_different_things_are_combined():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    odds = 1 + x @ [0.5, 1.5]
    right = rng.uniform(size=3000) < 1 / (1 + np.exp(-odds))
    halves = ((x[:1500], right[:1500]), (x[1500:], right[1500:]))
    rejector = recuse_package.fit(*halves, target_risk=0.15, kind="confidences")
    assert "The combination of confidences reduces AURC by" in rejector.reason
    best = recuse_package.intervals.AURC.value
    combined = rejector.predict(x[1500:]).confidence
    assert best(combined, ~right[1500:]) < 1.01 * best(odds[1500:], ~right[1500:])
    again = recuse_package.Rejector.from_dict(rejector.to_dict())
    np.testing.assert_array_equal(again.predict(x).confidence[1500:], combined)
    plain = recuse_package.tune(*halves[0], kind="confidences", learned=False)
    assert str(plain.baseline) == "confidence"
    assert [str(score) for score, _ in plain.table] == ["confidence", "confidence(column=1)"]


def test_scores_of_confidences_and_of_classes_do_not_mix():
    confidence, msp = (recuse_package.scores.Score(name) for name in ("confidence", "msp"))
    with pytest.raises(InputError, match="`candidates` for outputs of classes, got confidence"):
        recuse_package.tune(Z, Y, candidates=[confidence])
    with pytest.raises(InputError, match="`candidates` for outputs of confidences, got msp"):
        recuse_package.tune(P.max(axis=1), Y == 0, candidates=[msp], kind="confidences")


def test_losses_are_measured_but_not_tuned_or_diagnosed(tmp_path):
    text(tmp_path / "l.csv", {"confidence": P.max(axis=1), "loss": RNG.uniform(size=60)})
    found = read(tmp_path / "l.csv")
    measured = recuse_package.evaluation.measure_file(found).scores["confidence"]
    assert measured.aurc == recuse_package.intervals.AURC.value(
        np.float32(P.max(axis=1)), found.loss
    )
    for refused in (
        lambda: recuse_package.tune(found),
        lambda: write_logits(tmp_path / "l.npz", found),
        lambda: recuse_package.diagnose(found),
    ):
        with pytest.raises(InputError, match=r"expected `correct` \(1 or 0\), got `loss`"):
            refused()


BAD_CONFIDENCES = {
    "NaN": ([0.5, np.nan], [1, 0], "`confidence` without NaN, got 1, row 1"),
    "huge": ([0.5, 1e39], [1, 0], "within the range of float32, got others, row 1"),
    "three axes": (np.zeros((2, 1, 1)), [1, 0], "shape .n,. or .n, C., got"),
    "two": ([0.5, 0.6], [1, 2], "`correct` as 1 or 0, true or false, got '2' at row 1"),
    "text": ([0.5, 0.6], ["yes", "no"], "`correct` as 1 or 0, true or false, got 'yes'"),
}


@pytest.mark.parametrize("case", BAD_CONFIDENCES)
def test_what_is_no_confidence_is_refused(case):
    confidence, correct, words = BAD_CONFIDENCES[case]
    with pytest.raises(InputError, match=words):
        from_arrays(confidence, correct, kind="confidences")


def test_a_probability_of_one_class_is_no_confidence():
    """A sigmoid says little about 0.5 and much at both ends; a calibrated confidence does not."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.6, 0.6, size=2000)
    right = (rng.uniform(size=2000) < p) == (p >= 0.5)
    with pytest.warns(DataWarning, match=r"the confidence is then max\(p, 1 - p\)"):
        from_arrays(p, right, kind="confidences")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_arrays(np.maximum(p, 1 - p), right, kind="confidences")
        for seed in range(100):
            draw = np.random.default_rng(seed)
            c = draw.uniform(size=400)
            from_arrays(c, draw.uniform(size=400) < c, kind="confidences")
            from_arrays(c, draw.uniform(size=400) < 0.7, kind="confidences")


def test_the_mapping_of_a_config_names_the_classes():
    z, y = 4 * np.eye(3)[[0, 1, 2, 2]], ["b", "a", "c", "c"]
    for mapping in ({2: "c", 0: "b", 1: "a"}, {"0": "b", "2": "c", "1": "a"}):
        found = from_arrays(z, y, classes=mapping)
        assert found.class_names == ("b", "a", "c")
        np.testing.assert_array_equal(found.labels, [0, 1, 2, 2])
    for mapping in ({"a": 0, "b": 1, "c": 2}, {0: "a", 1: "b", 5: "c"}):
        with pytest.raises(InputError, match=r'expected "id2label" with a name for 0, 1'):
            from_arrays(z, y, classes=mapping)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".safetensors", ""])
def test_a_held_out_file_knows_its_columns(suffix: str, tmp_path: Path) -> None:
    table = {"p_cat": [0.9, 0.2, 0.6], "p_dog": [0.1, 0.8, 0.4], "truth": ["cat", "dog", "dog"]}
    file = from_frame(table | {"doc": [4, 4, 7]}, labels="truth", groups="doc")
    columns = {"outputs": ("p_cat", "p_dog"), "labels": ("truth",), "groups": ("doc",)}
    assert file.columns == columns
    path = tmp_path / f"held{suffix}"
    write_logits(path, file)
    assert read(path).columns == open_logits(path).columns == columns
    assert repr(read(path)).splitlines() == [
        f"{path}: 3 rows. "
        "Outputs: probabilities, 2 classes (cat and dog), columns p_cat and p_dog.",
        "Columns: labels truth, groups doc; no ids.",
    ]
    parts = split_rows(read(path), {"tune": 0.5, "calibrate": 0.5})
    assert parts["tune"].columns == columns


def test_shards_of_other_columns_are_one_file_that_names_none(tmp_path: Path) -> None:
    for i, name in enumerate(["truth", "target"]):
        table = {"p_cat": [0.9, 0.2], "p_dog": [0.1, 0.8], name: ["cat", "dog"]}
        write_logits(tmp_path / f"{i}.npz", from_frame(table))
    file = read(tmp_path)
    assert len(file) == 4
    assert not file.columns
    assert "Arrays: labels; no ids or groups." in repr(file)


def test_a_lazy_frame_is_collected() -> None:
    frame = pytest.importorskip("polars").LazyFrame({"confidence": [0.9, 0.4], "correct": [1, 0]})
    assert from_frame(frame).loss.tolist() == [False, True]


class FromPandas(Frame):
    """A frame that is taken for one of pandas."""

    __module__ = "pandas.core.frame"


def test_a_frame_of_confidences_with_other_columns_is_decided_by_its_confidence() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(2000)
    rows = from_arrays(confidence, rng.random(2000) < confidence, kind="confidences")
    rejector = recuse_package.fit(rows, target_risk=0.2)
    for ids in (["a", "b"], [1, 2]):
        new = FromPandas(id=ids, confidence=[0.3, 0.99])
        assert rejector.predict(new).accept.tolist() == [False, True]
