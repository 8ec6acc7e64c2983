import json

import numpy as np
import pytest

import answers
from answers import one_line
from recuse import read, write_logits
from recuse.evaluation import pick
from samples import one_column, sample

Z, Y = sample(400)
W = Z + np.random.default_rng(1).normal(size=Z.shape).astype(np.float32)
TRAIN = sample(300, seed=5)
TWO = ("pick", "0=a.npz", "0.1=b.npz")


@pytest.fixture
def files(tmp_path):
    write_logits(tmp_path / "a.npz", Z, Y)
    write_logits(tmp_path / "b.npz", W, Y)
    write_logits(tmp_path / "train.npz", *TRAIN)
    return tmp_path


def plain(answer):
    rc, out, err = answer
    assert (rc, err) == (0, "")
    return answers.plain(out)


def test_the_json_is_what_the_function_returns(recuse, files):
    found = plain(recuse(*TWO, "--json", "--risk", "0.05,0.1", "--criterion", "coverage@0.2"))
    expected = pick({"0": (Z, Y), "0.1": (W, Y)}, risks=(0.05, 0.1), criterion="coverage@0.2")
    assert found == json.loads(json.dumps(expected.to_dict()))
    assert list(found["models"][0]["msp"]["coverage_at_risk"]) == ["0.05", "0.1", "0.2"]


def test_people_read_a_table_and_an_answer(recuse, files):
    rc, out, err = recuse(*TWO, "--train", "0.1=train.npz")
    assert (rc, err) == (0, "")
    assert "Choose 0 by AURC." in out
    assert "worse (5 %, Holm): 0.1 (" in out
    assert "matched by position" in out
    (line,) = (line for line in out.splitlines() if line.startswith("0.1: accuracy"))
    assert "training" in line
    assert max(map(len, out.splitlines()[:7])) <= 80
    assert recuse(*TWO, "--quiet") == (0, "", "")


def test_ids_match_rows_in_any_order(recuse, files):
    ids = np.arange(400)
    order = np.random.default_rng(0).permutation(400)
    write_logits(files / "a.npz", Z, Y, ids=ids)
    write_logits(files / "b.npz", W[order], Y[order], ids=ids[order])
    found = plain(recuse(*TWO, "--json"))
    expected = pick({"0": (Z, Y), "0.1": (W, Y)}).to_dict()
    assert found.pop("matched_by") == "ids"
    expected.pop("matched_by")
    assert found == json.loads(json.dumps(expected))


def test_groups_of_a_separate_file_and_binary_heads(recuse, files):
    np.save(files / "g.npy", np.arange(400) // 8)
    assert plain(recuse(*TWO, "--groups", "g.npy", "--json"))["groups"] == 50
    z, y = one_column()
    write_logits(files / "c.npz", z, y, kind="binary")
    write_logits(files / "d.npz", z + 1, y, kind="binary")
    found = plain(recuse("pick", "c=c.npz", "d=d.npz", "--binary", "--json"))
    assert [m["classes"] for m in found["models"]] == [2, 2]


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_chart_is_written_whole_and_the_same_each_time(ending, recuse, files):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'recuse[plots]'")
    chart = files / f"chart.{ending}"
    rc, out, _ = recuse(*TWO, "--chart", chart)
    assert rc == 0
    assert f"Written to {chart}." in out
    first = chart.read_bytes()
    assert recuse(*TWO, "--chart", chart, "--force", "-q") == (0, "", "")
    assert chart.read_bytes() == first
    one_line(recuse(*TWO, "--chart", chart), "exists: give --force")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["pick", "0=a.npz"], ["at least two models"]),
        (["pick", "a.npz", "b.npz"], ["expected NAME=FILE, got 'a.npz'"]),
        (["pick", "0=a.npz", "0=b.npz"], ["names that differ, got '0' twice"]),
        (["pick", "0=", "1=b.npz"], ["NAME=FILE, got '0='"]),
        (["pick", "0=a.npz", "1=none.npz"], ["none.npz: no such file"]),
        ([*TWO, "--train", "7=train.npz"], ["training logits of 0, 0.1, got '7'"]),
        ([*TWO, "--train", "train.npz"], ["expected --train NAME=FILE"]),
        ([*TWO, "--train", "0=a.npz"], ["a.npz: expected training logits of other examples"]),
        ([*TWO, "--criterion", "beauty"], ["aurc, accuracy or coverage@0.05, got 'beauty'"]),
        ([*TWO, "--risk", "5"], ["`risk` in [0, 1], got 5"]),
        ([*TWO, "--chart", "chart.gif"], [".svg, .png, .pdf, got chart.gif"]),
        ([*TWO, "--chart", "a.svg", "--criterion", "beauty"], ["got 'beauty'"]),
        (["pick", "0=a.npz", "1=short.npz"], ["the same examples", "(400,) and (390,)"]),
        (["pick", "0=a.npz", "1=bare.npz"], ["bare.npz: expected `labels`"]),
        ([*TWO, "--train", "0=seven.npz"], ["seven.npz: ", "5 classes, as held-out, got 7"]),
        ([*TWO, "--probs"], ["a.npz: expected `probs`"]),
        ([*TWO, "--probs", "--binary"], ["--binary or --probs, got both"]),
    ],
)
def test_what_cannot_be_picked_from_is_one_line_and_writes_nothing(command, words, recuse, files):
    write_logits(files / "short.npz", Z[:390], Y[:390])
    write_logits(files / "bare.npz", Z)
    write_logits(files / "seven.npz", *sample(50, 7))
    before = sorted(files.iterdir())
    one_line(recuse(*command), *words)
    assert sorted(files.iterdir()) == before


def test_without_matplotlib_a_chart_names_the_extra(recuse, files, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    one_line(recuse(*TWO, "--chart", "out.svg"), "pip install 'recuse[plots]'")
    assert not (files / "out.svg").exists()


def test_probabilities_have_a_way_in_and_the_warning_names_it(recuse, files):
    for name, z in (("a", Z), ("b", W)):
        odds = np.exp(z.astype(np.float64))
        write_logits(files / f"{name}.npz", odds / odds.sum(axis=1, keepdims=True), Y)
    code, _, err = recuse(*TWO)
    assert code == 0
    assert err.count("declare them by --probs") == err.count("\n") == 2
    found = plain(recuse(*TWO, "--probs", "--json"))
    assert {score for m in found["models"] for score in m["repaired_by"]} == {"msp"}


def test_reading_changes_nothing(recuse, files):
    recuse(*TWO)
    np.testing.assert_array_equal(read(files / "a.npz").logits, Z)
