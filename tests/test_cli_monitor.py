import re
import subprocess
import sys

import numpy as np
import pytest

import answers
from answers import one_line
from recuse import Monitor, Rejector, fit, write_logits
from recuse.io import HeldOut
from samples import sample

REJECTOR = fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2)
COMMAND = ("monitor", "rejector.json", "--state", "state.json")


@pytest.fixture(autouse=True)
def deployed(tmp_path):
    """What is there before the first log."""
    REJECTOR.save(tmp_path / "rejector.json")


def log(tmp_path, name, n=600, risk=0.1, first=0, header="id,accept,correct"):
    """A log in which every label is there."""
    rng = np.random.default_rng(first)
    accept, correct = rng.random(n) < 0.95, rng.random(n) >= risk
    rows = [
        f"{first + i},{str(a).lower()},{str(c).lower()}"
        for i, (a, c) in enumerate(zip(accept, correct))
    ]
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")


def plain(answer, code=0):
    rc, out, err = answer
    assert (rc, err) == (code, "")
    return answers.plain(out)


def test_predictions_and_later_their_labels(recuse, tmp_path):
    z, labels = sample(500, seed=5)
    write_logits(tmp_path / "day.npz", z, labels)
    assert recuse("predict", "rejector.json", "day.npz", "--out", "day.csv", "--quiet")[0] == 0
    found = plain(recuse(*COMMAND, "--log", "day.csv", "--json"))
    p = REJECTOR.predict(z)
    assert (found["n"], found["accepted"], found["pending"]) == (
        500,
        p.accept.sum(),
        found["accepted"],
    )
    assert (found["risk"], found["reason"]) == (None, "risk is undefined: no label is known")
    assert found["logs"] == {"day.csv": {"rows": 500, "predictions": 500, "labels": 0}}
    wrong = p.prediction != labels
    rows = [f"{i},{int(not wrong[i])}" for i in np.random.default_rng(0).permutation(500)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,correct", *rows]))
    found = plain(recuse(*COMMAND, "--log", "labels.csv", "--json"))
    assert (found["labelled"], found["pending"]) == (p.accept.sum(), 0)
    assert found["errors"] == (wrong & p.accept).sum()
    assert found["interval"][0] < found["risk"] < found["interval"][1]
    assert not found["alarm"]


def test_the_same_log_again_changes_nothing_and_a_grown_one_adds_what_is_new(recuse, tmp_path):
    log(tmp_path, "a.csv")
    first = plain(recuse(*COMMAND, "--log", "a.csv", "--json"))
    state = (tmp_path / "state.json").read_bytes()
    again = plain(recuse(*COMMAND, "--log", "a.csv", "--log", "a.csv", "--json"))
    assert (tmp_path / "state.json").read_bytes() == state
    assert again["logs"] == {"a.csv": {"rows": 600, "predictions": 0, "labels": 0}}
    assert {**again, "logs": None} == {**first, "logs": None}
    log(tmp_path, "b.csv", 100, first=600)
    with (tmp_path / "a.csv").open("a") as file:
        file.write((tmp_path / "b.csv").read_text().split("\n", 1)[1])
    grown = plain(recuse(*COMMAND, "--log", "a.csv", "--json"))
    assert grown["logs"]["a.csv"]["predictions"] == 100
    assert grown["n"] == 700


def test_logs_in_one_run_or_in_several_are_the_same(recuse, tmp_path):
    log(tmp_path, "a.csv")
    log(tmp_path, "b.csv", first=600)
    recuse(*COMMAND, "--log", "a.csv", "--log", "b.csv", "--quiet")
    whole = plain(recuse(*COMMAND, "--json"))
    (tmp_path / "state.json").unlink()
    for name in ("a.csv", "b.csv"):
        recuse(*COMMAND, "--log", name, "--quiet")
    parts = plain(recuse(*COMMAND, "--json"))
    assert whole.pop("e_value") == pytest.approx(parts.pop("e_value"))
    assert whole.pop("log_e") == pytest.approx(parts.pop("log_e"))
    assert whole == parts


def test_an_alarm_exits_1_with_advice_and_keeps_the_state(recuse, tmp_path):
    log(tmp_path, "a.csv", 900, risk=0.4)
    code, out, err = recuse(*COMMAND, "--log", "a.csv")
    assert (code, err) == (1, "")
    words = " ".join(out.split())
    assert "a.csv: 900 rows, 900 new predictions" in words
    assert "Alarm: risk. 900 predictions." in words
    counts = plain(recuse(*COMMAND, "--json"), code=1)
    row = f"wrong {counts['errors']}/{counts['labelled']} ({100 * counts['risk']:.1f} %)"
    assert f"{row} <= {0.2 * counts['labelled']:.1f} (20 %)" in words
    assert "Review accepted predictions by hand, and label the next ones at once." in words
    assert "fit a new rejector, and begin its state with --state NEW --after state.json" in words
    assert len(out.splitlines()) <= 8
    assert recuse(*COMMAND, "--quiet") == (1, "", "")
    assert plain(recuse(*COMMAND, "--json"), code=1)["alarms"] == ["risk"]


def test_drift_is_an_alarm_without_any_label(recuse, tmp_path):
    rows = [f"{i},{'true' if i % 2 else 'false'}" for i in range(800)]
    (tmp_path / "a.csv").write_text("\n".join(["id,accept", *rows]))
    code, out, _ = recuse(*COMMAND, "--log", "a.csv")
    assert code == 1
    assert "Alarm: fewer accepted." in out
    assert "accepted  400/800 (50.0 %)" in out
    assert "Check how the inputs are made and prepared." in out


def test_quiet_prints_nothing(recuse, tmp_path):
    log(tmp_path, "a.csv")
    assert recuse(*COMMAND, "--log", "a.csv", "--quiet") == (0, "", "")
    assert Monitor.load(tmp_path / "state.json").verdict.n == 600


def test_options_belong_to_the_state_from_its_beginning(recuse, tmp_path):
    log(tmp_path, "a.csv")
    options = ("--target-risk", 0.3, "--delta", 0.01, "--order", "arrival")
    found = plain(recuse(*COMMAND, "--log", "a.csv", *options, "--json"))
    assert (found["target_risk"], found["delta"], found["order"]) == (0.3, 0.01, "arrival")
    assert found["limit"]["risk"] == pytest.approx(200)
    assert plain(recuse(*COMMAND, *options, "--json"))["n"] == 600
    one_line(
        recuse(*COMMAND, "--target-risk", 0.2), "expected --target-risk 0.3, as in the first run"
    )
    one_line(
        recuse(*COMMAND, "--order", "prediction"), "expected --order arrival, as in the first run"
    )


def test_a_log_of_any_table_program_is_read(recuse, tmp_path):
    text = '\ufeffWhen,ID,Accept,Correct\r\nmon,"a,1",TRUE,1\r\n\r\ntue,b,0,\r\nwed, c ,1, 0 \r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    found = plain(recuse(*COMMAND, "--log", "a.csv", "--json"))
    assert (found["n"], found["accepted"], found["labelled"], found["errors"]) == (3, 2, 2, 1)
    (tmp_path / "b.csv").write_text("id,correct\nc,1\n")
    one_line(recuse(*COMMAND, "--log", "b.csv"), "b.csv: line 2: expected ids that differ", "'c'")


def deployed_table(recuse, tmp_path, *options):
    """The table of `recuse predict`, and which predictions are right."""
    z, labels = sample(500, seed=5)
    write_logits(tmp_path / "day.npz", z, ids=np.array([f"p{i}" for i in range(500)]))
    predict = ("predict", "rejector.json", "day.npz", "--out", "day.csv", "--quiet", *options)
    assert recuse(*predict)[0] == 0
    p = REJECTOR.predict(z)
    return labels, p.accept, p.prediction == labels


@pytest.mark.parametrize("named", ["numbers", "names", "numbers and names"])
@pytest.mark.parametrize("mark", [",", ";"])
def test_labels_are_joined_to_predictions_by_id(named, mark, recuse, tmp_path):
    names = [f"class {k}" for k in range(5)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    classes = ("--classes", "names.txt")
    labels, accept, right = deployed_table(recuse, tmp_path, *(classes if named == "names" else ()))
    rows = [f"p{i}{mark}2026-07-0{1 + i % 9}{mark}{labels[i]}" for i in range(500)]
    if named != "numbers":
        rows = [f"p{i}{mark}1.7.2026{mark}{names[labels[i]]}" for i in range(500)]
    (tmp_path / "truth.csv").write_text("\n".join([f"ID{mark}Date{mark}Truth", *rows]))
    options = classes if named == "numbers and names" else ()
    found = plain(recuse(*COMMAND, "--log", "day.csv", "--log", "truth.csv", *options, "--json"))
    assert (found["n"], found["accepted"], found["labelled"]) == (500, accept.sum(), accept.sum())
    assert found["errors"] == (accept & ~right).sum()
    assert found["logs"]["truth.csv"] == {"rows": 500, "predictions": 0, "labels": accept.sum()}
    correct = [f"p{i},{int(right[i])}" for i in range(500)]
    (tmp_path / "correct.csv").write_text("\n".join(["id,correct", *correct]))
    logs = ("--log", "day.csv", "--log", "correct.csv")
    (tmp_path / "state.json").rename(tmp_path / "first.json")
    assert recuse(*COMMAND, *logs, "--quiet")[0] == 0
    assert (tmp_path / "state.json").read_text() == (tmp_path / "first.json").read_text()


def test_labels_come_later_and_their_predictions_are_given_again(recuse, tmp_path):
    labels, accept, right = deployed_table(recuse, tmp_path)
    assert recuse(*COMMAND, "--log", "day.csv", "--quiet")[0] == 0
    rows = [f"p{i},{labels[i] if i % 3 else ''}" for i in range(499, -1, -1)]
    (tmp_path / "truth.csv").write_text("\n".join(["id,truth", *rows]))
    words = "truth.csv: line 2: expected the prediction of 'p499'", "the table of `recuse predict`"
    one_line(recuse(*COMMAND, "--log", "truth.csv"), *words)
    found = plain(recuse(*COMMAND, "--log", "truth.csv", "--log", "day.csv", "--json"))
    known = accept & (np.arange(500) % 3 > 0)
    assert (found["labelled"], found["errors"]) == (known.sum(), (known & ~right).sum())
    assert found["n"] == 500


def test_a_log_may_hold_predictions_and_labels_side_by_side(recuse, tmp_path):
    rows = "1,true,cat,cat\n2,1,cat, dog\n3,1,dog,\n4,0,dog,cat\n"
    (tmp_path / "a.csv").write_text(f"id,accept,prediction,truth\n{rows}")
    found = plain(recuse(*COMMAND, "--log", "a.csv", "--json"))
    assert (found["accepted"], found["labelled"], found["errors"]) == (3, 2, 1)


def test_a_number_with_a_point_is_the_class_of_that_name(recuse, tmp_path):
    (tmp_path / "a.csv").write_text("id,accept,prediction,truth\n1,1,3.0,3\n2,1,3,3.0\n")
    (tmp_path / "names.txt").write_text("4\n3\n2\n1\n0")
    found = plain(recuse(*COMMAND, "--log", "a.csv", "--classes", "names.txt", "--json"))
    assert (found["labelled"], found["errors"]) == (2, 0)


MISMATCHED = {
    "names and numbers": ("1,1,3,cat\n", "both as numbers of classes or both as names, got 'cat'"),
    "contradiction": ("1,1,cat,cat,0\n", "`correct` of whether `truth` is the prediction"),
    "unknown class": ("1,1,cat,dog\n", "expected a class of --classes, or its number, got 'cat'"),
}


@pytest.mark.parametrize("case", MISMATCHED)
def test_labels_that_cannot_be_compared_are_one_line(case, recuse, tmp_path):
    row, words = MISMATCHED[case]
    header = "id,accept,prediction,truth" + ",correct" * (row.count(",") == 4)
    (tmp_path / "a.csv").write_text(f"{header}\n{row}")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne")
    options = ("--classes", "names.txt") if case == "unknown class" else ()
    one_line(recuse(*COMMAND, "--log", "a.csv", *options), "a.csv: line 2: expected", words)
    assert not (tmp_path / "state.json").exists()


def test_an_id_with_two_predictions_is_one_line(recuse, tmp_path):
    (tmp_path / "a.csv").write_text("id,accept,prediction\n1,1,2\n2,1,2\n2,1,3\n")
    (tmp_path / "b.csv").write_text("id,truth\n1,2\n")
    words = "a.csv: line 4: expected one prediction for each id, got '3' after '2' for '2'"
    one_line(recuse(*COMMAND, "--log", "b.csv", "--log", "a.csv"), words)


BAD = {
    "a word": ("id,accept\n1,true\n2,yes\n", ["a.csv: line 3: expected 1 or 0, true or", "'yes'"]),
    "a number": ("id,accept,correct\n1,1,0.5\n", ["line 2", "'0.5'"]),
    "cells": ("id,accept\n1,true\n2\n", ["line 3: expected 2 cells, got 1"]),
    "no id": ("id,accept\n,true\n", ["line 2: expected an `id`, got none"]),
    "unknown": ("id,correct\n77,1\n", ["line 2: expected an id that was predicted before", "'77'"]),
    "too early": ("id,accept,correct\n77,,1\n77,1,\n", ["line 2: expected an id", "'77'"]),
    "other label": ("id,correct\n1,0\n", ["line 2: expected ids that differ", "right in one row"]),
    "other decision": (
        "id,accept\n9,1\n1,0\n",
        ["line 3: expected ids that differ", "accepted in"],
    ),
    "columns": ("name,accept\n1,true\n", ["expected columns `id` and", "got name, accept"]),
    "id alone": ("id\n1\n", ["expected columns `id` and"]),
    "twice": ("id,accept,accept\n1,1,1\n", ["each once"]),
    "empty": ("", ["expected columns `id` and", "got none"]),
    "quotes": ('id,accept\n"1,true\n', ["cannot be read as csv"]),
    "bytes": (b"id,accept\n\xff,true\n", ["cannot be read as csv in UTF-8"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_log_is_one_line_and_the_state_is_untouched(case, recuse, tmp_path):
    content, words = BAD[case]
    (tmp_path / "good.csv").write_text("id,accept,correct\n1,true,true\n2,false,\n")
    assert recuse(*COMMAND, "--log", "good.csv", "--quiet")[0] == 0
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "more.csv").write_text("id,accept\n5,true\n")
    state, before = (tmp_path / "state.json").read_bytes(), sorted(tmp_path.iterdir())
    one_line(recuse(*COMMAND, "--log", "more.csv", "--log", "a.csv"), *words)
    assert (tmp_path / "state.json").read_bytes() == state
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["a.npz", "a.parquet", "a.safetensors", "a.json", "a.npy"])
def test_a_file_that_is_no_text_is_told_what_a_log_is(name, recuse, tmp_path):
    (tmp_path / name).write_bytes(b"\x93NUMPY")
    words = f"{name}: expected a log, a .csv with the columns `id` and `accept`, `correct` or"
    one_line(recuse(*COMMAND, "--log", name), words, f"got a {name[1:]} file")


def test_the_columns_of_a_log_are_in_the_help(recuse):
    said = " ".join(re.sub(r"[│\x1b]|\[[0-9;]*m", " ", recuse("monitor", "--help")[1]).split())
    assert "columns id (unique), accept (true or false) and correct (true, false, or empty" in said


def test_what_does_not_belong_together_is_one_line(recuse, tmp_path):
    log(tmp_path, "a.csv")
    one_line(recuse(*COMMAND), "state.json: expected the state of a monitor, got no such file")
    one_line(recuse(*COMMAND, "--log", "none.csv"), "none.csv")
    one_line(recuse(*COMMAND, "--log", "a.csv", "--target-risk", 5), "`target_risk`")
    assert not (tmp_path / "state.json").exists()
    assert recuse(*COMMAND, "--log", "a.csv", "--quiet")[0] == 0
    fit(sample(400, seed=0), sample(400, seed=2), target_risk=0.2).save(tmp_path / "rejector.json")
    one_line(recuse(*COMMAND), "state.json: expected the state of this rejector, got another one")
    one_line(recuse("monitor", "state.json", "--state", "s.json"), "recuse.rejector")
    for taken in ("a.csv", "rejector.json"):
        one_line(recuse("monitor", "rejector.json", "--log", "a.csv", "--state", taken), "an input")
    (tmp_path / "state.json").write_text("{}")
    one_line(recuse(*COMMAND), 'state.json: expected "format": "recuse.monitor"')


def test_a_process_of_its_own_reads_logs_and_exits_1_at_an_alarm(tmp_path):
    log(tmp_path, "a.csv", 900, risk=0.4)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "recuse", *COMMAND, "--log", "a.csv", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert answers.plain(done.stdout)["alarms"] == ["risk"]
    assert Rejector.load(tmp_path / "rejector.json") == REJECTOR


def days(tmp_path, name, n=1200, header="id,patient,group,ward,time,accept,correct", bad=()):
    """A log of 40 patients a day; those of a bad ward are answered wrongly in groups."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        patient, ward = i // 6, "ABC"[i // 6 % 3]
        wrong = rng.random() < (0.7 if ward in bad else 0.05)
        day = f"2026-{3 + i // 6000:02}-{1 + i // 240 % 28:02}"
        rows.append(
            f"{i},{patient},{patient},{ward},{day},{int(rng.random() < 0.9)},{int(not wrong)}"
        )
    (tmp_path / name).write_text("\n".join([header, *rows]))


def test_an_alarm_names_the_subgroup_and_its_date_in_eight_lines(recuse, tmp_path):
    days(tmp_path, "a.csv", bad="B")
    code, out, err = recuse(*COMMAND, "--log", "a.csv", "--by", "Ward")
    assert (code, err) == (1, "")
    words = " ".join(out.split())
    found = plain(recuse(*COMMAND, "--json"), code=1)
    (ward,) = (test for test in found["subgroups"] if test["alarm"])
    assert ward["subgroup"] == "B"
    assert "risk of B. 1,200 predictions of 200 groups, 2026-03-01 to 2026-03-05." in words
    assert "Alarm (seen on 2026-03-0" in words
    assert f"wrong of B {ward['errors']}/{ward['labelled']} " in words
    assert f"<= {ward['expected_errors']:.1f} (20 %)" in words
    assert "a random sample of all rows since 2026-03-0" in words
    assert len(out.splitlines()) <= 8
    assert found["alarms"] == [*found["seen"]]
    assert recuse(*COMMAND, "--quiet", "--window", 7)[0] == 2


def test_without_an_alarm_more_is_said(recuse, tmp_path):
    days(tmp_path, "a.csv", 300)
    (tmp_path / "b.csv").write_text("id,group,ward,accept\n999,999,A,1\n")
    code, out, _ = recuse(*COMMAND, "--log", "a.csv", "--log", "b.csv", "--by", "ward")
    assert code == 0
    assert "a.csv and b.csv: 301 rows, 301 new predictions, " in out
    assert "1 label is pending and counts as right in the test." in out
    assert "groups may get more rows and will count then." in out
    assert "wrong of A" in out
    one_line(recuse(*COMMAND, "--log", "b.csv", "--independent"), "expected no --independent")


def test_rows_are_independent_if_said_so(recuse, tmp_path):
    days(tmp_path, "a.csv", 300)
    found = plain(recuse(*COMMAND, "--log", "a.csv", "--independent", "--json"))
    assert (found["groups"], found["interval"] is None) == (None, False)


def test_a_state_follows_that_of_an_earlier_rejector(recuse, tmp_path):
    days(tmp_path, "a.csv", bad="ABC")
    assert recuse(*COMMAND, "--log", "a.csv", "--quiet")[0] == 1
    fit(sample(400, seed=0), sample(400, seed=2), target_risk=0.2).save(tmp_path / "new.json")
    days(tmp_path, "b.csv", 300)
    new = ("monitor", "new.json", "--state", "new-state.json", "--log", "b.csv")
    code, out, _ = recuse(*new, "--after", "state.json")
    assert code == 0
    assert "Alarms of an earlier rejector: risk (2026-03-0" in out
    (kept,) = plain(recuse(*new[:4], "--json"))["earlier"]
    assert kept["alarms"]["risk"]["time"].startswith("2026-03-0")
    again = ("monitor", "rejector.json", "--state", "x.json", "--log", "b.csv")
    one_line(recuse(*again, "--after", "state.json"), "expected `after` of an earlier rejector")


def test_a_rejector_of_classes_reads_the_class_from_the_table_of_predict(recuse, tmp_path):
    splits = sample(900, seed=0), sample(900, seed=1)
    fit(*splits, target_risk=0.3, subgroups="class", learned=False).save(tmp_path / "rejector.json")
    z, labels = sample(500, seed=5)
    write_logits(tmp_path / "day.npz", z, labels, groups=np.arange(500) // 2)
    assert recuse("predict", "rejector.json", "day.npz", "--out", "day.csv", "--quiet")[0] == 0
    found = plain(recuse(*COMMAND, "--log", "day.csv", "--json"))
    p = Rejector.load(tmp_path / "rejector.json").predict(z)
    assert [test["subgroup"] for test in found["subgroups"]] == list(range(5))
    assert [test["n"] for test in found["subgroups"]] == np.bincount(p.prediction).tolist()
    assert (found["groups"], found["scope"]) == (250, None)


def test_subgroups_that_only_decide_are_not_tested_in_the_order_of_arrival(recuse, tmp_path):
    rng, site = np.random.default_rng(0), np.array(["n", "s"])[np.arange(900) % 2]
    confidence, correct = rng.uniform(size=(2, 900, 1)).astype("f4"), rng.integers(0, 10, (2, 900))
    splits = [
        HeldOut(c, (k > 0).astype(int), kind="confidences", name=name)
        for c, k, name in zip(confidence, correct, "tc")
    ]
    rejector = fit(*splits, target_risk=0.3, subgroups=(site, site))
    rejector.save(tmp_path / "rejector.json")
    (tmp_path / "day.csv").write_text("id,confidence,correct,site\n1,0.9,1,n\n2,0.8,0,s\n")
    options = ("--log", "day.csv", "--by", "site", "--json")
    code, out, _ = recuse(*COMMAND, *options, "--order", "arrival")
    found = answers.plain(out)
    assert (code, found["n"], found["subgroups"]) == (0, 2, [])
    assert "a single subgroup" in found["scope"]


def test_the_table_of_predict_holds_the_subgroup_that_the_monitor_tests(recuse, tmp_path):
    site = np.array(["n", "s"])[np.arange(900) % 2]
    splits, per = (sample(900, seed=0), sample(900, seed=1)), (site, site)
    fit(*splits, target_risk=0.3, subgroups=per, learned=False).save(tmp_path / "rejector.json")
    write_logits(tmp_path / "day.npz", *sample(500, seed=5), ids=np.arange(500))
    rows = [f"{i},{site[i]}" for i in range(500)]
    (tmp_path / "site.csv").write_text("\n".join(["id,subgroup", *rows]))
    predict = ("predict", "rejector.json", "day.npz", "--by", "site.csv", "--out", "day.csv")
    assert recuse(*predict, "--quiet")[0] == 0
    found = plain(recuse(*COMMAND, "--log", "day.csv", "--json"))
    assert [(test["subgroup"], test["n"]) for test in found["subgroups"]] == [
        ("n", 250),
        ("s", 250),
    ]
    assert found["subgroups"][0]["at_fit"]["n"] == 450
