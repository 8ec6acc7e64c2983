import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from answers import one_line, plain
from learnable import learnable
from recuse import Rejector, __version__, cli, fit, read, write_logits
from recuse._internal.files import checksum
from recuse.evaluation import measure_file
from recuse.scores import Score
from samples import one_column, pixels, sample

SCORES = ["aurc", "aurc_se", "e_aurc", "n_aurc", "augrc", "e_aurc_se", "augrc_se"]
SCORES += ["coverage_at_risk", "risk_at_coverage"]


@pytest.fixture
def files(tmp_path):
    """Three splits in tmp_path and the names that are there."""
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.npz", *sample(400, seed=seed))
    return {"tune.npz", "calibrate.npz", "test.npz"}


FIT = ("fit", "--tune", "tune.npz", "--calibrate", "calibrate.npz", "--target-risk", 0.2)


def arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def process(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "recuse", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return done.returncode, done.stdout, done.stderr


# Real processes


def test_the_module_runs_and_tells_its_version(tmp_path):
    assert process("--version", cwd=tmp_path) == (0, f"recuse {__version__}\n", "")


def test_a_process_fits_predicts_and_reads_its_own_file(tmp_path, files):
    rc, out, err = process(*FIT, cwd=tmp_path)
    assert (rc, err) == (0, "")
    assert "With 95 % confidence, at most 20 % of accepted predictions are wrong" in out
    rc, out, err = process(
        "predict", "rejector.json", "test.npz", "--out", "p.csv", "--json", cwd=tmp_path
    )
    assert (rc, err) == (0, "")
    assert plain(out)["n"] == 400
    assert {p.name for p in tmp_path.iterdir()} == files | {"rejector.json", "p.csv"}


def test_a_process_says_no_with_exit_code_1_and_writes_nothing(tmp_path, files):
    rc, out, err = process(*FIT[:-1], 0.001, cwd=tmp_path)
    assert (rc, err) == (1, "")
    assert "Infeasible: no threshold passed the test for a risk of 0.1 %" in out
    assert {p.name for p in tmp_path.iterdir()} == files


def test_a_process_refuses_a_damaged_file_in_one_line(tmp_path):
    write_logits(tmp_path / "a.npz", *sample(30))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    one_line(process("evaluate", "cut.npz", cwd=tmp_path), "cut.npz: cannot be read as npz")


# Bad input


def bad_values(value, columns=2):
    z, y = sample(20)
    z[7, columns] = value
    return {"logits": z, "labels": y}


Z, Y = sample(20)
BAD = {
    "NaN": (bad_values(np.nan), ["without NaN", "row 7"]),
    "inf": (bad_values(np.inf), ["without NaN or +inf", "row 7"]),
    "-inf": (bad_values(-np.inf, slice(None)), ["a finite logit in every row", "row 7"]),
    "label": ({"logits": Z, "labels": np.where(np.arange(20) == 3, 5, Y)}, ["0..4", "5 at row 3"]),
    "float labels": ({"logits": Z, "labels": Y * 1.0}, ["as integers 0..4", "float64"]),
    "lengths": ({"logits": Z, "labels": Y[:9]}, ["(20,)", "(9,)"]),
    "shape": ({"logits": Z[0], "labels": Y}, ["(n, K, ...)", "(5,)"]),
    "no rows": ({"logits": Z[:0], "labels": Y[:0]}, ["at least one row"]),
    "one column": ({"logits": Z[:, :1], "labels": Y}, ["K >= 2", "--binary"]),
    "no logits": ({"labels": Y}, ["an array `logits`", "got labels"]),
    "unknown": ({"logits": Z, "labels": Y, "extra": Y}, ["got extra"]),
    "pickle": ({"logits": Z, "labels": np.array([{}] * 20, object)}, ["never unpickled"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_for_every_command_and_nothing_is_written(
    case, recuse, files, tmp_path
):
    fields, words = BAD[case]
    assert recuse(*FIT)[0] == 0
    np.savez(tmp_path / "bad.npz", **fields)
    before = sorted(tmp_path.iterdir())
    for command in (
        ("evaluate", "tune.npz", "bad.npz"),
        ("split", "bad.npz"),
        ("predict", "rejector.json", "bad.npz", "--out", "p.csv"),
        ("fit", "--tune", "bad.npz", *FIT[3:], "--out", "r.json"),
        ("fit", "--tune", "tune.npz", "--calibrate", "bad.npz", *FIT[5:], "--out", "r.json"),
    ):
        one_line(recuse(*command), "bad.npz: ", *words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["none.npz", "folder.npz", "a.pt", "empty.npz", "two\nlines.npz"])
def test_a_file_that_is_none_is_one_line(name, recuse, files, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "empty.npz").touch()
    (tmp_path / "a.pt").write_bytes((tmp_path / "tune.npz").read_bytes())
    one_line(recuse("evaluate", name), name.replace("\n", " "))
    one_line(recuse("predict", name, "test.npz"), name.replace("\n", " "))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("evaluate", "tune.npz", "--binary"), ["tune.npz: ", "a binary head", "(400, 5)"]),
        (("evaluate", "tune.npz", "--probs"), ["tune.npz: ", "sum to 1", "rows 0, 1, 2, ..."]),
        (("evaluate", "tune.npz", "--binary", "--probs"), ["--binary or --probs, got both"]),
        (("evaluate", "p.npz", "--probs", "--score", "logit_norm"), ["got logit_norm", "shift"]),
        (("evaluate", "tune.npz", "--score", "guess"), ["expected a score among", "'guess'"]),
        (("evaluate", "tune.npz", "--score", ","), ["expected --score"]),
        (("evaluate", "tune.npz", "--score", "logit_norm(p=x)"), ["'x'"]),
        (("evaluate", "tune.npz", "--score", "logit_norm(p=0.5)"), [">= 1, got 0.5"]),
        (("evaluate", "tune.npz", "--risk", "1,a"), ["numbers for --risk", "'1,a'"]),
        (("evaluate", "tune.npz", "--risk", "nan"), ["`risk` in [0, 1], got nan"]),
        (("evaluate", "tune.npz", "--coverage", "0"), ["`coverage` in (0, 1], got 0"]),
        (("evaluate", "tune.npz", "--binary", "--multilabel"), ["--binary or --multilabel"]),
        (("evaluate", "tune.npz", "--multilabel"), ["tune.npz: ", "`labels` of shape (400, 5)"]),
        (("evaluate", "none/*.npz"), ["none/*.npz: no such files"]),
        (("evaluate", "bare.npz"), ["bare.npz: expected `labels`, got logits alone"]),
        (("evaluate", "tune.npz", "--ignore-index", "9", "void.npz"), ["void.npz: every label"]),
        (("split", "tune.npz", "--parts", "a=0.5"), ["sum to 1"]),
        (("split", "tune.npz", "--parts", "a=nan,b=0.5"), ["sum to 1"]),
        (("split", "tune.npz", "--parts", "a=0.5,a=1"), ["names that differ"]),
        (("split", "tune.npz", "--parts", "../a=1"), ["plain names", "'../a'"]),
        (("split", "tune.npz", "--parts", "a"), ["--parts like"]),
        (("split", "tune.npz", "--parts", "a=0.9999,b=0.0001"), ["tune.npz: part 'b'", "empty"]),
        ((*FIT[:-1], 1.5), ["`target_risk` in (0, 1), got 1.5"]),
        ((*FIT, "--delta", "0"), ["`delta`"]),
        ((*FIT, "--method", "guess"), ["`method`", "'guess'"]),
        ((*FIT, "--objective", "guess"), ["`objective` among aurc, augrc, coverage", "'guess'"]),
        ((*FIT[:-1], 5, "--objective", "coverage"), ["`target_risk` in (0, 1), got 5.0"]),
        ((*FIT[:4], "tune.npz", *FIT[5:]), ["without shared rows", "the same data twice"]),
        ((*FIT, "--out", "tune.npz/x/r.json"), ["tune.npz"]),
        (("predict", "tune.npz", "test.npz"), ["tune.npz: expected a rejector"]),
        (("predict", "r.json", "four.npz"), ["four.npz: ", "5 classes, as fitted, got 4"]),
        (("predict", "r.json", "test.npz", "--out", "p.txt"), ["p.txt: ", ".csv or .parquet"]),
        (
            ("predict", "r.json", "test.npz", "--top", "6", "--out", "a.csv"),
            ["--top in 1..5, got 6"],
        ),
        (
            ("predict", "r.json", "test.npz", "--top", "3"),
            ["expected --out or --explain with --top 3"],
        ),
        (
            ("import", "a.jsonl", "--out", "a.npz", "--separator", ";"),
            ["a .csv or .tsv with --sep"],
        ),
        (
            (*FIT, "--delta", 95),
            ["`delta` in (0, 0.5), a fraction, got 95.0", "0.05 for 95 % conf"],
        ),
        ((*FIT[:-1], 1), ["`target_risk` in (0, 1), got 1.0 (1.0 % is the fraction 0.01)"]),
        (("predict", "r.json", "test.npz", "--classes", "four.txt"), ["four.txt: ", "5 class"]),
        (("predict", "r.json", "test.npz", "--classes", "none.txt"), ["none.txt: No such file"]),
        (("predict", "r.json", "pixels.npz", "--out", "p.csv"), ["p.csv: expected .npz"]),
        (("predict", "r.json", "void.npz", "--ignore-index", "9", "--out", "p.csv"), ["void.npz"]),
        (("predict", "r.json", "test.npz", "--explain", "400"), ["test.npz: ", "0..399", "'400'"]),
        (("predict", "r.json", "test.npz", "--explain", "x", "--out", "p.csv"), ["got 'x'"]),
        (("predict", "r.json", "pixels.npz", "--explain", "0"), ["rows of one prediction each"]),
        (("report", "--model", "a=.", "--objective", "guess"), ["`objective`", "'guess'"]),
        (("report", "--model", "a=.", "--probs"), ["tune.npz: ", "sum to 1"]),
        (("report", "--model", "a"), ["--model NAME=FILE"]),
        (("report", "--model", "a=splits"), ["splits: expected a tune file"]),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(command, words, recuse, files, tmp_path):
    assert recuse(*FIT, "--out", "r.json")[0] == 0
    write_logits(tmp_path / "bare.npz", Z)
    write_logits(tmp_path / "void.npz", Z, np.full(20, 9), ignore_index=9)
    write_logits(tmp_path / "four.npz", *sample(20, 4))
    write_logits(tmp_path / "pixels.npz", *pixels(4, 5))
    np.savez(tmp_path / "p.npz", logits=np.full((20, 5), 0.2), labels=Y)
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    before = sorted(tmp_path.iterdir())
    one_line(recuse(*command), *words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["split tune.npz", "fit --tune tune.npz"])
def test_a_negative_seed_is_bad_usage_and_no_crash(command, recuse, files):
    rc, out, err = recuse(*command.split(), "--seed", "-1", *(FIT[3:] if "fit" in command else ()))
    assert (rc, out) == (2, "")
    assert "--seed" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["empty.npy", "pickled.npy", "float.npy", "short.txt", "no.txt"])
def test_groups_that_cannot_be_read_are_one_line(name, recuse, files, tmp_path):
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "pickled.npy", np.array([{}] * 400, object))
    np.save(tmp_path / "float.npy", np.full(400, np.nan))
    (tmp_path / "short.txt").write_text("a\nb\n")
    one_line(recuse("evaluate", "tune.npz", "--groups", name), name)


def test_existing_output_is_kept_unless_force_is_given(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    assert recuse("split", "test.npz")[0] == 0
    assert recuse("predict", "rejector.json", "test.npz", "--out", "p.csv")[0] == 0
    outputs = [tmp_path / n for n in ("rejector.json", "splits/calibrate.npz", "p.csv")]
    for command, path in zip(
        (FIT, ("split", "test.npz"), ("predict", "rejector.json", "test.npz", "--out", "p.csv")),
        outputs,
    ):
        whole = path.read_bytes()
        if path.name != "rejector.json":
            path.write_bytes(b"precious")
        before = path.read_bytes()
        one_line(recuse(*command), "exists: give --force to overwrite it")
        assert path.read_bytes() == before
        assert recuse(*command, "--force")[0] == 0
        assert path.read_bytes() == whole or path.suffix == ".npz"


def test_force_never_overwrites_an_input(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for command in (
        ("split", "test.npz", "--out", "."),
        ("predict", "rejector.json", "test.npz", "--out", "test.npz"),
        ("predict", "rejector.json", "test.npz", "--out", "../" + tmp_path.name + "/test.npz"),
    ):
        one_line(recuse(*command, "--force"), "is an input: expected another place")
    one_line(recuse(*FIT, "--out", "tune.npz", "--force"), "tune.npz: expected a name ending in")
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_infeasible_target_never_touches_an_existing_rejector(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    before = (tmp_path / "rejector.json").read_bytes()
    rc, out, err = recuse(*FIT[:-1], 0.001, "--force", "--json")
    assert (rc, err) == (1, "")
    answer = plain(out)
    assert (answer["feasible"], answer["out"], answer["threshold"]) == (False, None, None)
    assert 0.001 < answer["smallest_target"] < 0.2
    assert answer["rows_needed"] is None or answer["rows_needed"] > 400
    assert (tmp_path / "rejector.json").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == files | {"rejector.json"}


# split


def test_split_writes_disjoint_exhaustive_parts_by_group(recuse, tmp_path):
    z, y = sample(300)
    write_logits(tmp_path / "a.safetensors", z, y, groups=np.arange(300) // 3, ids=np.arange(300))
    rc, out, err = recuse("split", "a.safetensors", "--json", "--seed", "3")
    assert (rc, err) == (0, "")
    parts = plain(out)["parts"]
    assert [p["part"] for p in parts] == ["tune", "calibrate", "test"]
    assert [p["n"] for p in parts] == [120, 120, 60]
    parts_read = [read(tmp_path / p["file"]) for p in parts]
    assert [f.digest for f in parts_read] == [p["digest"] for p in parts]
    assert sorted(np.concatenate([f.ids for f in parts_read])) == list(range(300))
    groups = [set(f.groups.tolist()) for f in parts_read]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 100
    for f in parts_read:
        np.testing.assert_array_equal(f.logits, z[f.ids])


def test_split_cuts_pixel_files_by_image_and_keeps_a_binary_column(recuse, tmp_path):
    z, y = pixels(10)
    write_logits(tmp_path / "pixels.npz", z, y)
    np.savez(tmp_path / "binary.npz", **dict(zip(("logits", "labels"), one_column(10))))
    assert recuse("split", "pixels.npz", "--parts", "a=0.5,b=0.5", "--out", "p")[0] == 0
    assert read(tmp_path / "p" / "a.npz").logits.shape == (5, 3, 6, 6)
    assert recuse("split", "binary.npz", "--parts", "a=0.5,b=0.5", "--binary")[0] == 0
    assert arrays(tmp_path / "splits" / "a.npz")["logits"].shape == (5, 1)


# evaluate


def test_evaluate_prints_the_json_of_the_contract(recuse, files):
    rc, out, err = recuse(
        *("evaluate", "tune.npz", "test.npz", "--json", "--coverage", "0.8"),
        *("--risk", "0.05", "--risk", "0.1,0.2"),
        *("--score", "msp,logit_norm(p=3, center=true)", "--score", "entropy"),
    )
    assert (rc, err) == (0, "")
    data = plain(out)
    assert list(data) == ["files"]
    assert [f["file"] for f in data["files"]] == ["tune.npz", "test.npz"]
    scores = ["msp", "logit_norm(p=3, center=true)", "entropy"]
    for f in data["files"]:
        assert list(f) == ["file", "n", "classes", "accuracy", "scores"]
        assert (f["n"], f["classes"]) == (400, 5)
        assert list(f["scores"]) == scores
        expected = measure_file(
            read(f["file"]),
            [Score.parse(s) for s in scores],
            risks=(0.05, 0.1, 0.2),
            coverages=(0.8,),
        )
        assert f == expected.to_dict()
        for measures in f["scores"].values():
            assert list(measures) == SCORES
            assert list(measures["coverage_at_risk"]) == ["0.05", "0.1", "0.2"]
            assert list(measures["risk_at_coverage"]) == ["0.8"]


def test_the_columns_of_evaluate_are_words_with_units(recuse, files):
    out = recuse("evaluate", "test.npz", "--risk", 0.05, "--coverage", "0.8")[1]
    first, second, third, title, cells, *notes = out.splitlines()
    assert max(map(len, (first, second, third, title, cells))) <= 80
    columns = [first.split(), second.split()[-4:], third.split()[-4:]]
    assert columns == [
        ["coverage", "risk", "(%)"],
        ["(%)", "at", "at", "80%"],
        ["x1000", "5%", "risk", "coverage"],
    ]
    assert second.split()[:5] == ["AURC", "s.e.", "E-AURC", "N-AURC", "AUGRC"]
    assert {line.split(":")[0] for line in notes[:3]} == {"AURC", "E-AURC", "AUGRC"}


def test_an_undefined_number_is_null_with_a_reason(recuse, tmp_path):
    z, _ = sample(20)
    write_logits(tmp_path / "right.npz", z, z.argmax(axis=1))
    write_logits(tmp_path / "one.npz", z[:1], Y[:1])
    rc, out, err = recuse("evaluate", "right.npz", "one.npz", "--json")
    assert (rc, err) == (0, "")
    right, one = (f["scores"]["msp"] for f in plain(out)["files"])
    assert (right["aurc"], right["e_aurc"], right["n_aurc"]) == (0, 0, None)
    assert "all losses are equal" in right["reason"]["n_aurc"]
    assert one["aurc_se"] is None
    assert "fewer than two" in one["reason"]["aurc_se"]
    rc, out, err = recuse("evaluate", "right.npz", "one.npz")
    assert (rc, err) == (0, "")
    assert "nan" not in out.lower()


def test_shuffled_rows_change_no_number_that_is_printed(recuse, tmp_path):
    z, y = sample(200)
    groups = np.repeat(np.arange(50), 4)
    order = np.random.default_rng(0).permutation(200)
    answers = []
    for rows in (np.arange(200), order):
        write_logits(tmp_path / "a.npz", z[rows], y[rows], groups=groups[rows])
        answers.append(recuse("evaluate", "a.npz", "--json", "--score", "msp,gini"))
    assert answers[0] == answers[1]


def test_groups_from_a_file_widen_the_standard_error_only(recuse, tmp_path):
    z, y = (np.repeat(a, 4, axis=0) for a in sample(100))
    write_logits(tmp_path / "a.npz", z, y)
    np.save(tmp_path / "g.npy", np.arange(400) // 4)
    (tmp_path / "g.txt").write_text("".join(f"image {i // 4}\n" for i in range(400)))
    alone, *grouped = (
        plain(recuse("evaluate", "a.npz", "--json", *extra)[1])["files"][0]["scores"]["msp"]
        for extra in ((), ("--groups", "g.npy"), ("--groups", "g.txt"))
    )
    assert grouped[0] == grouped[1]
    for name in ("aurc_se", "e_aurc_se", "augrc_se"):
        assert grouped[0].pop(name) > 1.9 * alone.pop(name)
    assert grouped[0] == alone


# fit and predict


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def decided(tmp_path, name="test.npz", rejector="rejector.json", **options):
    return Rejector.load(tmp_path / rejector).predict(read(tmp_path / name, **options))


def test_a_csv_reads_back_to_the_exact_decisions(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    assert recuse("predict", "rejector.json", "test.npz", "--out", "p.csv")[0] == 0
    rows, expected = read_csv(tmp_path / "p.csv"), decided(tmp_path)
    assert list(rows[0]) == ["id", "prediction", "confidence", "p_correct", "accept"]
    assert [int(r["id"]) for r in rows] == list(range(400))
    assert [int(r["prediction"]) for r in rows] == expected.prediction.tolist()
    confidence = np.array([np.float32(r["confidence"]) for r in rows])
    np.testing.assert_array_equal(confidence, expected.confidence)
    assert [r["accept"] for r in rows] == ["true" if a else "false" for a in expected.accept]
    threshold = json.loads((tmp_path / "rejector.json").read_text())["rules"][0]["threshold"]
    np.testing.assert_array_equal(confidence >= np.float32(threshold), expected.accept)
    p = np.array([np.float32(r["p_correct"]) for r in rows])
    np.testing.assert_array_equal(p, expected.p_correct.astype(np.float32))


@pytest.mark.parametrize("name", ["p.csv", "p.npz"])
def test_decisions_given_in_place_of_outputs_are_told(name, recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    wrote = recuse("predict", "rejector.json", "test.npz", "--out", name, "--top", 3, "--quiet")
    assert wrote == (0, "", "")
    words = f"{name}: expected outputs of a model, got decisions, a table of `recuse predict`"
    for command in (
        ("fit", name, "--target-risk", 0.1, "--out", "other.json"),
        ("run", name),
        ("evaluate", name),
        ("predict", "rejector.json", name),
        ("plan", name, "--target-risk", 0.1),
        ("import", name, "--out", "held-out.npz"),
        ("report", "--model", f"net={name}"),
    ):
        one_line(recuse(*command), words, "recuse monitor takes the table as --log")
    named = recuse("import", name, "--out", "x.npz", "--outputs", "confidence", "--confidences")
    assert named[0] == 0, named


def test_the_summary_equals_a_count_by_hand(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    rc, out, err = recuse("predict", "rejector.json", "test.npz", "--json")
    assert (rc, err) == (0, "")
    expected, labels = decided(tmp_path), read(tmp_path / "test.npz").labels
    accepted = errors = wrong = 0
    for label, accept, true in zip(expected.prediction, expected.accept, labels):
        accepted += int(accept)
        wrong += int(label != true)
        errors += int(accept and label != true)
    summary = plain(out)
    assert (summary["n"], summary["accepted"], summary["errors"]) == (400, accepted, errors)
    assert summary["coverage"] == accepted / 400
    assert summary["risk"] == errors / accepted
    assert summary["error_without_rejector"] == wrong / 400
    assert recuse("predict", "rejector.json", "test.npz")[1].startswith(
        f"{accepted} of 400 predictions accepted ({100 * accepted / 400:.1f} %)"
    )


def test_a_risk_of_nothing_accepted_is_null_with_a_reason(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    write_logits(tmp_path / "flat.npz", np.zeros((6, 5), np.float32), np.arange(6) % 5)
    rc, out, err = recuse("predict", "rejector.json", "flat.npz", "--json")
    assert (rc, err) == (0, "")
    assert plain(out)["risk"] is None
    assert "nothing was accepted" in plain(out)["reason"]


def test_logits_without_labels_are_decided_without_a_risk(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    write_logits(tmp_path / "bare.npz", sample(30)[0])
    rc, out, err = recuse("predict", "rejector.json", "bare.npz", "--json", "--out", "b.npz")
    assert (rc, err) == (0, "")
    assert "risk" not in plain(out)
    np.testing.assert_array_equal(
        arrays(tmp_path / "b.npz")["accept"], decided(tmp_path, "bare.npz").accept
    )


@pytest.mark.parametrize("ids", ["text", "bytes", "numbers"])
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_ids_names_and_further_classes_stand_in_every_table(suffix, ids, recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    z, _ = sample(40)
    keys = {
        "text": np.array([f"é, {i}" for i in range(40)]),
        "bytes": np.array([b"id%d" % i for i in range(40)]),
        "numbers": np.arange(40) + 5,
    }[ids]
    np.savez(tmp_path / "a.npz", logits=z, ids=keys)
    names = ["cat", "dög", "a,b", 'q"', " x"]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    out = tmp_path / f"p.{suffix}"
    answer = recuse(
        *("predict", "rejector.json", "a.npz", "--out", out, "--top", 3, "--classes", "names.txt")
    )
    assert answer[0] == 0, answer
    if suffix == "csv":
        rows = read_csv(out)
        table = {name: [r[name] for r in rows] for name in rows[0]}
    elif suffix == "parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(out).to_pydict()
    else:
        table = {k: v.tolist() for k, v in arrays(out).items()}
    top = [f"{column}_{rank}" for rank in (2, 3) for column in ("prediction", "prob")]
    assert list(table) == ["id", "prediction", "confidence", "p_correct", "accept", *top]
    text = keys.astype(str).tolist()
    assert [str(i) for i in table["id"]] == text
    order = np.argsort(-z.astype(np.float64), axis=1)
    probs = np.exp(z.astype(np.float64))
    probs /= probs.sum(axis=1, keepdims=True)
    for rank, column in enumerate(("prediction", "prediction_2", "prediction_3")):
        assert table[column] == [names[k] for k in order[:, rank]]
    for rank in (1, 2):
        np.testing.assert_allclose(
            np.array(table[f"prob_{rank + 1}"], float),
            probs[np.arange(40), order[:, rank]],
            rtol=1e-6,  # float32
        )
    expected = decided(tmp_path, "a.npz")
    assert np.array(table["confidence"], np.float32).tolist() == expected.confidence.tolist()


def test_a_process_says_why_in_words_and_in_json(files, tmp_path):
    assert process(*FIT, cwd=tmp_path)[0] == 0
    expected = decided(tmp_path)
    yes, no = (int(np.flatnonzero(expected.accept == a)[0]) for a in (True, False))
    command = ("predict", "rejector.json", "test.npz", "--explain", yes, "--explain", no)
    rc, out, err = process(*command, cwd=tmp_path)
    assert (rc, err) == (0, "")
    out = " ".join(out.split())
    assert f"{yes}: accepted. Class {expected.prediction[yes]}, softmax " in out
    assert f"{no}: abstained. Class {expected.prediction[no]}, softmax " in out
    assert "is below the threshold" in out
    assert "of the file are less certain" in out
    rc, out, err = process(*command, "--json", cwd=tmp_path)
    assert (rc, err) == (0, "")
    for row, told in zip((yes, no), plain(out)["explanations"]):
        assert (told["id"], told["accept"]) == (row, bool(expected.accept[row]))
        assert np.float32(told["confidence"]) == expected.confidence[row]
        assert told["margin"] == told["confidence"] - told["threshold"]
        smaller = sum(c < expected.confidence[row] for c in expected.confidence)
        assert told["less_certain"] == smaller / 400
    assert "explanations" not in plain(process(*command[:3], "--json", cwd=tmp_path)[1])


def test_explanations_name_rows_by_id_and_classes_by_name(recuse, tmp_path, files):
    assert recuse(*FIT)[0] == 0
    z, y = sample(40, seed=5)
    write_logits(tmp_path / "a.npz", z, y, ids=np.array([f"[b]{i}" for i in range(40)]))
    (tmp_path / "names.txt").write_text("cat\ndog\n[red]\ngnu\nelk\n")
    command = ("predict", "rejector.json", "a.npz", "--classes", "names.txt", "--explain", "[b]7")
    rc, out, err = recuse(*command)
    assert (rc, err) == (0, "")
    names = ["cat", "dog", "[red]", "gnu", "elk"]
    order = [names[k] for k in np.argsort(-z[7])]
    assert f"[b]7: {'accepted' if decided(tmp_path, 'a.npz').accept[7] else 'abstained'}" in out
    assert f"Class {order[0]}, softmax" in out
    assert f"Next: {order[1]} (" in out
    told = plain(recuse(*command, "--json", "--top", 5)[1])["explanations"][0]
    assert [told["prediction"], *(other["prediction"] for other in told["runners_up"])] == order


def test_why_tells_what_lowers_a_learned_confidence(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.npz", *learnable(600, seed))
    assert recuse(*FIT[:-1], 0.3)[0] == 0
    rc, out, err = recuse("predict", "rejector.json", "test.npz", "--explain", 3)
    assert (rc, err) == (0, "")
    assert "An average tuning prediction has" in out
    assert "what lowers this one most:" in out


@pytest.mark.parametrize("top", [1, 3])
def test_pixels_come_out_as_npz_and_void_ones_do_not_count(top, recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z, y = pixels(60, seed=seed)
        y[:, 0] = 255
        write_logits(tmp_path / f"{name}.npz", z, y, ignore_index=255)
    void = ("--ignore-index", 255)
    rc, out, err = recuse(*FIT[:-1], 0.4, *void)
    assert (rc, err) == (0, ""), out
    assert "one row of each of 60 groups, of 1,800 rows" in out
    rc, out, err = recuse(
        *("predict", "rejector.json", "test.npz", "--out", "p.npz", "--json", "--top", top, *void)
    )
    assert (rc, err) == (0, "")
    table, expected = arrays(tmp_path / "p.npz"), decided(tmp_path, ignore_index=255)
    for name in ("prediction", "confidence", "accept"):
        assert table[name].shape == (60, 6, 6)
        np.testing.assert_array_equal(table[name], getattr(expected, name))
    wrong = (expected.prediction != y)[:, 1:]
    accept = expected.accept[:, 1:]
    assert plain(out)["n"] == 60 * 5 * 6
    assert plain(out)["risk"] == wrong[accept].sum() / accept.sum()
    rc, out, _ = recuse("evaluate", "test.npz", "--json", *void)
    assert plain(out)["files"][0]["accuracy"] == pytest.approx(1 - wrong.mean(), abs=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_go_the_whole_way(dtype, recuse, tmp_path):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.safetensors", *sample(400, 5, seed, kind))
    command = [str(a).replace(".npz", ".safetensors") for a in FIT]
    assert recuse(*command)[0] == 0
    rc, out, _ = recuse("predict", "rejector.json", "test.safetensors", "--json", "--out", "p.csv")
    assert rc == 0
    assert plain(out)["risk"] < 0.2
    rc, out, _ = recuse("evaluate", "test.safetensors", "--json")
    assert rc == 0


def test_a_binary_head_goes_the_whole_way_and_its_kind_is_remembered(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        np.savez(tmp_path / f"{name}.npz", **dict(zip(("logits", "labels"), one_column(400, seed))))
    rc, out, err = recuse(*FIT[:-1], 0.15, "--binary")
    assert (rc, err) == (0, "")
    assert "Kept MSP: the best alternative, the learned score" in out
    said = recuse(*FIT[:-1], 0.15, "--binary", "--no-learned", "--force")[1]
    assert "with two classes no norm is tried" in said
    rc, out, err = recuse("predict", "rejector.json", "test.npz", "--json", "--out", "p.csv")
    assert (rc, err) == (0, "")
    z, labels = one_column(400, 2)
    assert [int(r["prediction"]) for r in read_csv(tmp_path / "p.csv")] == (z[:, 0] > 0).tolist()
    assert plain(out)["error_without_rejector"] == ((z[:, 0] > 0) != labels).mean()


def write_learnable(tmp_path, kind):
    """Three splits of which the learned score knows more, and the command that fits them."""
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z, y = learnable(1000, seed, kind)
        np.savez(tmp_path / f"{name}.npz", logits=z, labels=y)
    declared = ["--binary"] if kind == "binary" else []
    return (*FIT[:-1], 0.3 if kind == "many" else 0.15, *declared)


@pytest.mark.parametrize("kind", ["many", "two", "binary"])
def test_a_learned_score_goes_the_whole_way_in_real_processes(kind, tmp_path):
    rc, out, err = process(*write_learnable(tmp_path, kind), cwd=tmp_path)
    assert (rc, err) == (0, "")
    assert out.startswith("The learned score reduces AURC by ")
    assert Rejector.load(tmp_path / "rejector.json").score.name == "learned"
    rc, out, err = process(
        "predict", "rejector.json", "test.npz", "--out", "p.csv", "--json", cwd=tmp_path
    )
    assert (rc, err) == (0, "")
    rows = read_csv(tmp_path / "p.csv")
    expected = decided(tmp_path, **({"kind": "binary"} if kind == "binary" else {}))
    assert [np.float32(r["confidence"]) for r in rows] == expected.confidence.tolist()
    assert [r["accept"] == "true" for r in rows] == expected.accept.tolist()
    summary = plain(out)
    assert summary["accepted"] == expected.accept.sum() > 0
    assert summary["risk"] < summary["target_risk"] < summary["error_without_rejector"]
    said = process("predict", "rejector.json", "test.npz", cwd=tmp_path)[1]
    assert "Accept when the learned score >= " in said


def test_a_damaged_learned_score_is_one_line(recuse, tmp_path):
    assert recuse(*write_learnable(tmp_path, "many"))[0] == 0
    whole = json.loads((tmp_path / "rejector.json").read_text())
    before = {p.name for p in tmp_path.iterdir()}
    for name, weights, words in (
        ("weights", whole["score"]["params"]["weights"][1:], ["11 finite numbers"]),
        ("high", [float("nan")] * 11, ["11 finite numbers"]),
        ("low", None, ["score `learned` needs low"]),
    ):
        data = json.loads(json.dumps({k: v for k, v in whole.items() if k != "checksum"}))
        data["score"]["params"][name] = weights
        if weights is None:
            del data["score"]["params"][name]
        damaged = json.dumps({**data, "checksum": checksum(data)})
        (tmp_path / "rejector.json").write_text(damaged)
        one_line(
            recuse("predict", "rejector.json", "test.npz", "--out", "p.csv"),
            "rejector.json: ",
            *words,
        )
        assert {p.name for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("objective", "said"),
    [("aurc", "reduces AURC"), ("augrc", "reduces AUGRC"), ("coverage", "coverage at 30 % risk")],
)
def test_the_objective_decides_what_a_repair_improves(objective, said, recuse, tmp_path):
    command = (*write_learnable(tmp_path, "many"), "--objective", objective)
    rc, out, err = recuse(*command)
    assert (rc, err) == (0, "")
    assert said in out.splitlines()[0]
    splits = [learnable(1000, seed) for seed in range(2)]
    expected = fit(*splits, target_risk=0.3, objective=objective)
    assert Rejector.load(tmp_path / "rejector.json") == expected
    answer = plain(recuse(*command, "--force", "--json")[1])
    assert answer["objective"] == objective


def test_without_the_learned_score_a_fixed_one_or_msp_is_chosen(recuse, tmp_path):
    command = write_learnable(tmp_path, "many")
    assert plain(recuse(*command, "--json")[1])["score"] == "learned"
    without = plain(recuse(*command, "--json", "--no-learned", "--force")[1])["score"]
    assert without.startswith(("logit_norm", "msp"))


def test_probabilities_go_the_whole_way_with_scores_of_their_family(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z, y = sample(400, seed=seed, dtype=np.float64)
        odds = np.exp(z - z.max(axis=1, keepdims=True))
        odds[odds < 0.01] = 0  # as a file of rounded probabilities has them
        np.savez(tmp_path / f"{name}.npz", logits=odds / odds.sum(axis=1, keepdims=True), labels=y)
    rc, out, err = recuse(*FIT, "--probs", "--json")
    assert (rc, err) == (0, "")
    assert plain(out)["score"] == "msp"
    assert recuse("predict", "rejector.json", "test.npz", "--out", "p.csv")[0] == 0
    rows, expected = read_csv(tmp_path / "p.csv"), decided(tmp_path, kind="probs")
    assert np.isinf(expected.confidence).any()
    assert [np.float32(r["confidence"]) for r in rows] == expected.confidence.tolist()
    rc, out, err = recuse("evaluate", "test.npz", "--probs", "--json", "--score", "msp,gini")
    assert (rc, err) == (0, "")
    assert plain(out)["files"][0]["scores"]["msp"]["aurc"] < 0.2


def test_one_row_of_each_group_is_fitted_wherever_the_groups_come_from(recuse, files, tmp_path):
    z, y = sample(900, seed=9)
    groups = np.arange(900) // 3
    write_logits(tmp_path / "own.npz", z, y, groups=groups)
    write_logits(tmp_path / "none.npz", z, y)
    np.save(tmp_path / "g.npy", groups)
    answers = [
        recuse("fit", "--tune", "tune.npz", "--calibrate", *a, *FIT[5:], "--force")
        for a in (["own.npz"], ["none.npz", "--groups", "g.npy"])
    ]
    assert answers[0] == answers[1]
    assert "one row of each of 300 groups, of 900 rows" in answers[0][1]


def test_groups_in_tune_and_from_a_file_are_compared_by_name(recuse, tmp_path):
    (z, y), (z2, y2) = sample(400, seed=0), sample(400, seed=1)
    write_logits(tmp_path / "tune.npz", z, y, groups=np.arange(400))
    write_logits(tmp_path / "calibrate.npz", z2, y2)
    np.save(tmp_path / "apart.npy", np.arange(400) + 400)
    np.save(tmp_path / "shared.npy", np.arange(400) + 300)
    assert recuse(*FIT, "--groups", "apart.npy")[0] == 0
    one_line(recuse(*FIT, "--groups", "shared.npy", "--force"), "100 groups in both")


def test_an_overlap_asked_for_is_void_in_every_sentence(recuse, files, tmp_path):
    command = (*FIT[:4], "tune.npz", *FIT[5:], "--allow-overlap")
    said = recuse(*command)[1] + recuse("predict", "rejector.json", "test.npz")[1]
    said += recuse("predict", "rejector.json", "test.npz", "--json")[1]
    answer = recuse(*command, "--force", "--json")[1]
    assert plain(answer)["guarantee"]["void"]
    assert (said + answer).count(
        "No guarantee: the tuning and the calibration split share rows"
    ) >= 4
    assert "confidence, at most" not in said + answer


def test_quiet_prints_nothing(recuse, files):
    assert recuse(*FIT, "--quiet") == (0, "", "")
    assert recuse("predict", "rejector.json", "test.npz", "--quiet") == (0, "", "")
    assert recuse("split", "test.npz", "--quiet") == (0, "", "")


def test_names_with_brackets_are_printed_as_they_are(recuse, tmp_path):
    write_logits(tmp_path / "[red]a[/b].npz", *sample(30))
    rc, out, err = recuse("evaluate", "[red]a[/b].npz")
    assert (rc, err) == (0, "")
    assert "[red]a[/b].npz" in out


def test_probabilities_declared_as_logits_are_read_as_declared_with_a_warning(recuse, tmp_path):
    z, y = sample(200)
    odds = np.exp(z.astype(np.float64))
    write_logits(tmp_path / "q.npz", odds / odds.sum(axis=1, keepdims=True), y)
    rc, out, err = recuse("evaluate", "q.npz", "--json")
    assert rc == 0
    assert plain(out)["files"][0]["n"] == 200
    assert "q.npz: every row of `logits` lies in [0, 1] and sums to 1" in err
    assert "--probs" in err
    assert recuse("evaluate", "q.npz", "--probs", "--json")[2] == ""


def test_the_error_of_a_prediction_comes_with_its_interval_and_a_verdict(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    summary = plain(recuse("predict", "rejector.json", "test.npz", "--json")[1])
    low, high = summary["risk_interval"]
    assert low < summary["risk"] < high
    assert "in line with the guaranteed 20.0 %" in recuse("predict", "rejector.json", "test.npz")[1]
    z, y = sample(400, seed=2)
    write_logits(tmp_path / "shifted.npz", z, np.random.default_rng(0).permutation(y))
    assert "is above the guaranteed" in recuse("predict", "rejector.json", "shifted.npz")[1]


def test_a_split_of_the_fit_is_called_no_test(recuse, files):
    assert recuse(*FIT)[0] == 0
    assert (
        "calibrate.npz was used for calibration"
        in recuse("predict", "rejector.json", "calibrate.npz")[1]
    )
    assert "unbiased test" not in recuse("predict", "rejector.json", "test.npz")[1]


def test_percent_and_confidence_given_for_fractions_are_explained(recuse, files):
    one_line(recuse(*FIT[:-1], 5), "`target_risk` in (0, 1), got 5.0 (5.0 % is the fraction 0.05)")
    one_line(recuse(*FIT, "--delta", 0.95), "`delta` in (0, 0.5)", "0.05 for 95 % confidence")


def test_an_old_rejector_is_pointed_out_where_nothing_new_is_written(recuse, files):
    assert recuse(*FIT)[0] == 0
    rc, out, _ = recuse(*FIT[:-1], 0.001, "--force")
    assert rc == 1
    assert "rejector.json is from an earlier fit" in out


# Every format, for every command


@pytest.mark.parametrize("how", ["folder", "parquet", "glob", "shards"])
def test_every_format_goes_the_whole_way(how, recuse, files, tmp_path):
    expected = [recuse(*FIT)[1], recuse("predict", "rejector.json", "test.npz", "--json")[1]]
    expected.append(plain(recuse("evaluate", "test.npz", "--json")[1])["files"][0]["scores"])
    names = {}
    for part in ("tune", "calibrate", "test"):
        file = read(tmp_path / f"{part}.npz")
        cuts = [slice(0, 130), slice(130, 400)] if how in ("glob", "shards") else [slice(0, 400)]
        folder = tmp_path / "data" / part
        names[part] = {"parquet": f"{folder}.parquet", "glob": f"data/{part}/*"}.get(how, folder)
        for i, rows in enumerate(cuts):
            path = names[part] if len(cuts) == 1 else folder / f"{i}.safetensors"
            write_logits(path, file.logits[rows], file.labels[rows])
    rc, out, err = recuse(
        *("fit", "--tune", names["tune"], "--calibrate", names["calibrate"], *FIT[5:], "--force")
    )
    assert (rc, out, err) == (0, expected[0], "")
    rc, out, err = recuse("predict", "rejector.json", names["test"], "--json", "--out", "p.csv")
    assert (rc, out, err) == (0, expected[1], "")
    rc, out, err = recuse("evaluate", names["test"], "--json")
    assert (rc, err) == (0, "")
    assert plain(out)["files"][0]["scores"] == expected[2]
    if how != "glob":
        rc, out, err = recuse("report", "--model", "net=data", "--out", "r.html")
        assert (rc, err) == (0, "")
    before = sorted(tmp_path.rglob("*"))
    place = folder if how in ("glob", "shards") else "data"
    one_line(recuse("split", names["test"], "--out", place, "--force"), "input", "another place")
    assert sorted(tmp_path.rglob("*")) == before


def test_split_writes_the_format_that_it_read(recuse, files, tmp_path):
    z, y = sample(40)
    for name in ("a", "b.parquet"):
        write_logits(tmp_path / name, z, y)
        out = f"parts-{name[0]}"
        assert recuse("split", name, "--out", out, "--parts", "x=0.5,y=0.5")[0] == 0
        parts = sorted(p.name for p in (tmp_path / out).iterdir())
        assert parts == (["x", "y"] if name == "a" else ["x.parquet", "y.parquet"])
        assert len(read(tmp_path / out / parts[0])) == 20


def test_a_missing_extra_is_one_line(recuse, monkeypatch, tmp_path):
    pytest.importorskip("pyarrow")
    write_logits(tmp_path / "a.parquet", *sample(9))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    one_line(recuse("evaluate", "a.parquet"), "needs pyarrow: pip install 'recuse[parquet]'")


# Tables of confidences and sketches


def confidences(path, n=200, correct="correct", **more):
    """A .csv; also its confidence and 0-1 loss."""
    z, y = sample(n)
    confidence, loss = Score("msp")(z), (z.argmax(axis=1) != y).astype(int)
    columns = {"confidence": confidence, correct: loss if correct == "loss" else 1 - loss, **more}
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    path.write_text("\n".join(rows) + "\n")
    return confidence, loss


@pytest.mark.parametrize("column", ["correct", "loss"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_confidences_has_the_measures_of_its_logits(recuse, column, suffix, tmp_path):
    confidences(tmp_path / "c.csv", correct=column, note=["a"] * 200)
    if suffix == "parquet":
        table = pytest.importorskip("pyarrow.csv").read_csv(tmp_path / "c.csv")
        pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "c.parquet")
    write_logits(tmp_path / "z.npz", *sample(200))
    rc, out, err = recuse("evaluate", f"c.{suffix}", "z.npz", "--json")
    assert rc == 0
    assert f"c.{suffix}: 200 rows" in err
    assert f"correctness from {column}; no ids or groups" in err
    table, logits = plain(out)["files"]
    assert table["scores"]["confidence"] == logits["scores"]["msp"]
    assert (table["n"], table["classes"], table["accuracy"]) == (200, None, logits["accuracy"])
    assert list(table["reason"]) == ["classes"]
    out = recuse("evaluate", f"c.{suffix}", "z.npz")[1]
    assert (f"c.{suffix} holds losses: they can be measured" in out) == (column == "loss")


def test_words_groups_and_general_losses_of_a_table(recuse, tmp_path):
    (tmp_path / "w.csv").write_text("\ufeffcorrect,confidence\nTrue,0.5\n\nfalse,.25\n TRUE,1e9\n")
    answer = plain(recuse("evaluate", "w.csv", "--json")[1])["files"][0]
    assert answer["accuracy"] == pytest.approx(2 / 3)
    assert answer["scores"]["confidence"]["aurc"] == pytest.approx(1 / 9)
    (tmp_path / "l.csv").write_text("confidence,loss\n3,0.5\n2,0\n1,7\n")
    answer = plain(recuse("evaluate", "l.csv", "--json")[1])["files"][0]
    assert answer["accuracy"] is None
    assert "accuracy" in answer["reason"]
    assert answer["scores"]["confidence"]["aurc"] == pytest.approx((0.5 + 0.25 + 2.5) / 3)
    assert "accuracy -" in recuse("evaluate", "l.csv")[1]
    confidences(tmp_path / "g.csv", group=[f"g{i // 4}" for i in range(200)])
    confidences(tmp_path / "a.csv")
    (tmp_path / "g.txt").write_text("".join(f"g{i // 4}\n" for i in range(200)))
    own, given, alone = (
        plain(recuse("evaluate", *a, "--json")[1])["files"][0]["scores"]["confidence"]["aurc_se"]
        for a in (["g.csv"], ["a.csv", "--groups", "g.txt"], ["a.csv"])
    )
    assert own == given != alone


BAD_TABLES = {
    "empty": ("", "empty file"),
    "header": ("confidence,correct\n", "at least one row, got none"),
    "no confidence": ("score,correct\n1,1\n", "`confidence` beside `correct`", "score and correct"),
    "twice": ("confidence,loss,loss\n1,1,0\n", "columns that differ, got 'loss' twice"),
    "text": (
        "confidence,correct\n1,1\n\nhigh,1\n",
        "line 4",
        "numbers",
        "'confidence'",
        "'high'",
    ),
    "nothing": ("confidence,correct\n1,1\n,1\n", "line 3", "confidence"),
    "NaN": ("confidence,correct\nnan,1\n", "line 2", "confidence"),
    "two": ("confidence,correct\n1,2\n", "'correct' as 1 or 0", "got '2' at line 2"),
    "negative": ("confidence,loss\n1,-1\n", "'loss' finite and >= 0, got -1.0 at line 2"),
    "endless": ("confidence,loss\n1,inf\n", "'loss' finite", "got inf at line 2"),
    "short": ("confidence,correct\n1,1\n1\n", "line 3: expected 2 cells, got 1"),
    "long": ("confidence,correct\n1,1,1\n", "line 2: expected 2 cells, got 3"),
    "quote": ('confidence,correct\n"1,1\n', "cannot be read as csv"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_malformed_table_is_one_line_with_its_line(case, recuse, tmp_path):
    text, *words = BAD_TABLES[case]
    (tmp_path / "bad.csv").write_text(text)
    one_line(recuse("evaluate", "bad.csv"), "bad.csv: ", *words)
    one_line(recuse("compare", "bad.csv", "bad.csv"), "bad.csv: ", *words)


def test_options_for_logits_do_not_go_with_tables_or_sketches(recuse, files, tmp_path):
    confidences(tmp_path / "c.csv")
    (tmp_path / "n.csv").write_text("id,confidence\n1,1\n")
    one_line(recuse("evaluate", "n.csv", "-q"), "n.csv: expected `correct`, got confidences alone")
    (tmp_path / "latin.csv").write_bytes(b"confidence,correct\n\xe9,1\n")
    for kind in ("probs", "binary", "multilabel"):
        said = f"c.csv: expected {kind}, got a table of confidences"
        one_line(recuse("evaluate", "c.csv", f"--{kind}"), said)
    _, _, err = recuse("evaluate", "c.csv", "--score=msp")
    assert "c.csv: expected logits for --score, got a table of confidences" in err
    one_line(recuse("evaluate", "none.csv"), "none.csv")
    one_line(recuse("evaluate", "latin.csv"), "latin.csv: cannot be read as csv in UTF-8")
    assert recuse("sketch", "test.npz", "--out", "s.npz", "--quiet")[0] == 0
    one_line(recuse("evaluate", "s.npz", "--score", "margin"), "s.npz: ", "a sketch of msp")


@pytest.mark.parametrize("by", [[], ["--by", "class"]])
def test_a_sketch_stands_beside_the_file_that_it_is_of(by, recuse, files):
    assert recuse("sketch", "test.npz", "--out", "s.npz", *by, "--quiet")[0] == 0
    rc, out, err = recuse("evaluate", "s.npz", "test.npz", "--json")
    assert (rc, err) == (0, "")
    sketch, *groups, exact = plain(out)["files"]
    assert len(groups) == (5 if by else 0)
    measures, expected = sketch["scores"]["msp"], exact["scores"]["msp"]
    assert measures["aurc_low"] <= expected["aurc"] <= measures["aurc_high"]
    assert (sketch["n"], sketch["classes"]) == (400, 5)
    out = recuse("evaluate", "s.npz", "test.npz")[1]
    assert "s.npz is a sketch: its exact AURC is between" in out


# Several labels a row


def multilabel(path, n=300, count=3, **more):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, count)).astype(np.float32) * 3
    labels = (rng.uniform(size=z.shape) < 1 / (1 + np.exp(-z))).astype(np.int64)
    np.savez(path, logits=z, labels=labels, **more)
    return z, labels


def test_labels_are_measured_together_by_example_and_one_by_one(recuse, tmp_path):
    z, labels = multilabel(tmp_path / "m.npz")
    rc, out, err = recuse("evaluate", "m.npz", "--multilabel", "--json")
    assert (rc, err) == (0, "")
    pooled, *single = plain(out)["files"]
    for i, entry in enumerate(single):
        np.savez(tmp_path / "b.npz", logits=z[:, i], labels=labels[:, i])
        expected = plain(recuse("evaluate", "b.npz", "--binary", "--json")[1])["files"][0]
        assert entry == {**expected, "file": "m.npz", "label": i}
    np.savez(tmp_path / "b.npz", logits=z.reshape(-1), labels=labels.reshape(-1))
    np.save(tmp_path / "g.npy", np.repeat(np.arange(300), 3))
    grouped = recuse("evaluate", "b.npz", "--binary", "--json", "--groups", "g.npy")[1]
    assert pooled == {**plain(grouped)["files"][0], "file": "m.npz", "label": None}
    out = recuse("evaluate", "m.npz", "--multilabel")[1]
    assert "m.npz, all labels: 900 predictions, 3 labels" in out
    assert "m.npz, label 2: 300 predictions, accuracy" in out


def test_labels_of_one_group_depend_on_each_other(recuse, tmp_path):
    z, labels = multilabel(tmp_path / "m.npz", groups=np.arange(300) // 10)
    pooled, *single = plain(recuse("evaluate", "m.npz", "--multilabel", "--json")[1])["files"]
    np.savez(tmp_path / "b.npz", logits=z[:, 1], labels=labels[:, 1], groups=np.arange(300) // 10)
    expected = plain(recuse("evaluate", "b.npz", "--binary", "--json")[1])["files"][0]
    assert single[1]["scores"] == expected["scores"]
    np.savez(
        tmp_path / "b.npz", logits=z.ravel(), labels=labels.ravel(), groups=np.arange(900) // 30
    )
    expected = plain(recuse("evaluate", "b.npz", "--binary", "--json")[1])["files"][0]
    assert pooled["scores"] == expected["scores"]


def test_rows_that_occur_twice_are_independent_for_a_label_alone(recuse, tmp_path):
    z, labels = (np.r_[x, x[:100]] for x in multilabel(tmp_path / "m.npz"))
    np.savez(tmp_path / "m.npz", logits=z, labels=labels)
    np.savez(tmp_path / "b.npz", logits=z[:, 1], labels=labels[:, 1])
    one = plain(recuse("evaluate", "m.npz", "--multilabel", "--json")[1])["files"][2]
    other = plain(recuse("evaluate", "b.npz", "--binary", "--json")[1])["files"][0]
    assert one["scores"] == other["scores"]


def test_labels_that_are_not_known_do_not_count(recuse, tmp_path):
    z, labels = multilabel(tmp_path / "m.npz")
    labels[::2, 1] = -1
    np.savez(tmp_path / "m.npz", logits=z, labels=labels)
    rc, out, _ = recuse("evaluate", "m.npz", "--multilabel", "--ignore-index", -1, "--json")
    assert rc == 0
    assert [f["n"] for f in plain(out)["files"]] == [750, 300, 150, 300]
    one_line(recuse("evaluate", "m.npz", "--multilabel"), "`labels` in 0..1, got -1")
    one_line(recuse("evaluate", "m.npz"), "several labels a row are for evaluate --multilabel")


# Chunks and progress


def test_groups_and_warnings_are_of_the_file_and_not_of_a_chunk(recuse, tmp_path, monkeypatch):
    z, y = sample(400)
    write_logits(tmp_path / "a.npz", z, y)
    np.save(tmp_path / "g.npy", np.arange(400) // 4)
    odds = np.exp(z.astype(np.float64))
    q = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    write_logits(tmp_path / "q.npz", q, y)
    write_logits(tmp_path / "half.npz", np.where(np.arange(400)[:, None] < 200, z, q), y)
    command = ("evaluate", "a.npz", "--groups", "g.npy", "--json")
    whole = recuse(*command)
    monkeypatch.setattr("recuse.io._reader.CHUNK", 5 * 4 * 90)
    assert recuse(*command) == whole
    assert recuse("evaluate", "half.npz")[2] == ""
    assert recuse("evaluate", "q.npz")[2].count("--probs") == 1


def test_progress_is_for_long_work_on_a_terminal(recuse, files, monkeypatch):
    monkeypatch.setattr("recuse.present.terminal.LONG", 0)
    assert recuse("evaluate", "test.npz")[2] == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    rc, out, err = recuse("evaluate", "test.npz", "--json")
    assert rc == 0
    assert "test.npz" in err
    assert plain(out)["files"][0]["n"] == 400
    assert "test.npz" not in recuse("evaluate", "test.npz", "--quiet")[2]


def test_a_bug_of_ours_does_not_read_as_the_answer_no(recuse, files, monkeypatch):
    monkeypatch.setattr("recuse.cli.measure.measure_scored", lambda *_, **__: 1 / 0)
    rc, out, err = recuse("evaluate", "test.npz")
    assert (rc, out) == (cli.INTERNAL_ERROR, "")
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize("all_right", [True, False])
def test_equal_losses_have_no_standard_error(recuse, tmp_path, all_right):
    z = np.float32([[2, 0, 1]] * 30) + np.arange(30, dtype=np.float32)[:, None] / 7
    write_logits(
        tmp_path / "z.npz", z * np.float32([1.5, 1, 1]), np.full(30, 0 if all_right else 1)
    )
    rc, out, _ = recuse("evaluate", "z.npz", "--json")
    measures = plain(out)["files"][0]["scores"]["msp"]
    assert rc == 0
    for name in ("aurc_se", "e_aurc_se", "augrc_se"):
        assert measures[name] is None
        assert "all losses equal" in measures["reason"][name]


def test_few_errors_are_said_beside_the_standard_error(recuse, tmp_path):
    z, y = sample(400)
    y = np.where(np.arange(400) < 5, (z.argmax(1) + 1) % z.shape[1], z.argmax(1))
    write_logits(tmp_path / "z.npz", z, y)
    assert "z.npz has 5 errors: with fewer than 20" in recuse("evaluate", "z.npz")[1]
    write_logits(tmp_path / "many.npz", *sample(400))
    assert "fewer than 20" not in recuse("evaluate", "many.npz")[1]


def test_the_header_of_a_table_may_be_capital_and_its_cells_separated_by_semicolons(
    recuse, tmp_path
):
    (tmp_path / "c.csv").write_text("Confidence, Correct\n0.5,1\n0.25,0\n")
    assert recuse("evaluate", "c.csv")[0] == 0
    expected = recuse("evaluate", "c.csv", "--json")[1].replace("c.csv", "s.csv")
    for mark in ";\t":
        table = "Confidence, Correct\n0.5,1\n0.25,0\n".replace(",", mark)
        (tmp_path / "s.csv").write_text(table)
        assert recuse("evaluate", "s.csv", "--json", "-q") == (0, expected, "")


def test_tokens_of_a_trainer_go_the_whole_way(recuse, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (900, 5))
    z = 2 * np.eye(3)[labels] + rng.normal(size=(900, 5, 3))
    labels[:, 4] = -100
    np.savez(tmp_path / "all.npz", predictions=z, label_ids=labels)
    parts = ("--parts", "tune=0.4,calibrate=0.4,test=0.2", "--out", ".")
    assert recuse("split", "all.npz", *parts)[0] == 0
    ignored = ("--ignore-index", "-100")
    found = plain(recuse("evaluate", "all.npz", "--json")[1])["files"][0]
    assert (found["n"], found["classes"]) == (3600, 3)
    fit = ("fit", "--tune", "tune.npz", "--calibrate", "calibrate.npz", "--target-risk", 0.1)
    rc, out, err = recuse(*fit, *ignored)
    assert (rc, err) == (0, "")
    assert "one row of each of 360 groups, of 1,440 rows" in out
    rc, out, err = recuse("predict", "rejector.json", "test.npz", *ignored)
    assert (rc, err) == (0, "")
    assert " of 720 predictions accepted" in out


@pytest.mark.parametrize("text", [True, False])
def test_rows_of_a_repeated_id_are_no_more_evidence_than_one(text, recuse, tmp_path):
    z, y = sample(400)
    twice = np.repeat(np.arange(400), 2)
    ids = twice.astype(str) if text else twice
    write_logits(tmp_path / "once.npz", z, y, ids=ids[::2])
    write_logits(tmp_path / "twice.npz", z[twice], y[twice], ids=ids)
    write_logits(tmp_path / "groups.npz", z[twice], y[twice], groups=ids)
    once, repeated, groups = (
        plain(recuse("evaluate", name, "--json")[1])["files"][0]["scores"]["msp"]
        for name in ("once.npz", "twice.npz", "groups.npz")
    )
    assert repeated == groups
    assert repeated["aurc_se"] == pytest.approx(once["aurc_se"], rel=0.01)
    rows = "".join(f"{i},0.{i + 1},{int(i > 3)}\n" * 2 for i in range(9))
    (tmp_path / "ids.csv").write_text(f"id,confidence,correct\n{rows}")
    (tmp_path / "groups.csv").write_text(f"group,confidence,correct\n{rows}")
    one, other = (
        plain(recuse("evaluate", name, "--json")[1])["files"][0]["scores"]
        for name in ("ids.csv", "groups.csv")
    )
    assert one == other


def test_blank_lines_at_the_end_of_a_groups_file_are_no_groups(recuse, tmp_path):
    write_logits(tmp_path / "z.npz", *sample(200))
    (tmp_path / "g.txt").write_text("\n".join(str(i // 4) for i in range(200)) + "\n\n\n")
    assert recuse("evaluate", "z.npz", "--groups", "g.txt")[0] == 0
    (tmp_path / "short.txt").write_text("1\n2\n")
    assert (
        "expected groups in short.txt of shape (200,), got (2,)"
        in (recuse("evaluate", "z.npz", "--groups", "short.txt")[2])
    )


# A reader that goes away


def unread(*arguments, cwd, errors=False):
    """Exit code and stderr where nobody reads stdout, nor stderr with `errors`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "recuse", *map(str, arguments)],
        cwd=cwd,
        stdout=writer,
        stderr=writer if errors else subprocess.PIPE,
    )
    os.close(writer)
    return done.returncode, done.stderr or b""


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "test.npz"),
        ("evaluate", "test.npz", "--json"),
        ("sketch", "test.npz", "--out", "s.npz"),
        ("--help",),
        ("--version",),
        FIT,
        (*FIT[:-1], 1e-9),
    ],
)
def test_a_broken_pipe_is_not_the_answer_no(command, files, tmp_path):
    assert unread(*command, cwd=tmp_path) == (cli.BROKEN_PIPE, b"")


def test_decisions_stream_to_stdout_as_they_are_written_to_a_file(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    predict = ("predict", "rejector.json", "test.npz", "--top", 2, "--out")
    assert recuse(*predict, "p.csv", "--quiet") == (0, "", "")
    code, out, err = recuse(*predict, "-")
    assert (code, err) == (0, "")
    assert out == (tmp_path / "p.csv").read_bytes().decode()
    assert out.count("\n") == 401
    assert not (tmp_path / "-").exists()
    for other in (("--json",), ("--explain", 3)):
        one_line(recuse(*predict, "-", *other), "--out - without --json and --explain")
    assert unread(*predict, "-", cwd=tmp_path) == (cli.BROKEN_PIPE, b"")


def test_a_reader_that_leaves_early_ends_the_stream(recuse, files, tmp_path):
    assert recuse(*FIT)[0] == 0
    write_logits(tmp_path / "many.npz", *sample(60_000, seed=9))
    command = [sys.executable, "-m", "recuse", "predict", "rejector.json", "many.npz", "--out", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"id,prediction,confidence,p_correct,accept\r\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.BROKEN_PIPE


def test_a_broken_pipe_of_errors_ends_alike(files, tmp_path):
    assert unread("evaluate", "none.npz", cwd=tmp_path, errors=True) == (cli.BROKEN_PIPE, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(files, tmp_path):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "recuse", "evaluate", "test.npz", "--json"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


# report


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "reduces AURC by"),
        (("--objective", "augrc"), "reduces AUGRC by"),
        (("--objective", "coverage", "--target-risk", 0.3), "increases coverage at"),
        (("--no-learned",), "reduces AURC by"),
    ],
)
def test_the_report_is_of_the_asked_objective(options, said, recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.npz", *learnable(600, seed))
    target = () if "--target-risk" in options else ("--target-risk", 0.3)
    rc, _, err = recuse("report", "--model", "net=.", *options, *target)
    assert (rc, err) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert said in page
    assert ("The learned score" in page) == ("--no-learned" not in options)


def test_the_report_of_probabilities_keeps_msp(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z, y = learnable(600, seed)
        probs = np.exp(z.astype(float)) / np.exp(z.astype(float)).sum(axis=1, keepdims=True)
        probs[:9] = np.eye(5)[probs[:9].argmax(axis=1)]  # certain: their logarithms are infinite
        write_logits(tmp_path / f"{name}.npz", probs, y, kind="probs")
    rc, out, err = recuse("report", "--model", "net=.", "--probs", "--target-risk", 0.5)
    assert (rc, err) == (0, "")
    assert "Written to report.html" in out
    page = (tmp_path / "report.html").read_text()
    assert "other scores need logits" in page
