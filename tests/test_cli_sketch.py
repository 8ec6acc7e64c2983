import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from recuse import CurveSketch, InputError, cli, fit, read_logits, write_logits
from recuse.evaluation import measure_file
from recuse.scores import Score
from recuse.shards import Plan
from recuse.sketch import GroupedSketch
from samples import one_column, pixels, sample


@pytest.fixture
def recuse(tmp_path, monkeypatch, capsys):
    """Run the command line in tmp_path: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recuse", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def shards(tmp_path):
    """Three shards of one file, whose rows are in 4 groups."""
    z, y = sample(600)
    groups = np.arange(600) % 4
    write_logits(tmp_path / "all.npz", z, y, groups=groups)
    names = ["a.npz", "b.safetensors", "c.npz"]
    for i, name in enumerate(names):
        rows = slice(200 * i, 200 * (i + 1))
        write_logits(tmp_path / name, z[rows], y[rows], groups=groups[rows])
    return names


def plain(text):
    return json.loads(text, parse_constant=pytest.fail)


def one_line(answer, *words):
    rc, out, err = answer
    assert (rc, out) == (2, "")
    assert err.startswith("recuse: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_shards_in_any_order_and_merged_sketches_are_the_sketch_of_all(recuse, shards):
    assert recuse("sketch", "all.npz", "--out", "all.sketch.npz")[0] == 0
    assert recuse("sketch", *shards[::-1], "--out", "three.npz")[0] == 0
    for name in shards:
        assert recuse("sketch", name, "--out", f"s-{name[0]}.npz", "--quiet") == (0, "", "")
    rc, out, err = recuse("merge", "s-c.npz", "s-a.npz", "s-b.npz", "--out", "merged.npz")
    assert (rc, err) == (0, "")
    assert "600" in out
    whole = CurveSketch.load("all.sketch.npz")
    assert whole == CurveSketch.load("three.npz") == CurveSketch.load("merged.npz")
    assert whole.about == {"score": "msp", "kind": "logits", "classes": "5"}


@pytest.mark.parametrize("score", ["msp", "margin", "logit_norm(p=3, center=true)", "entropy"])
def test_the_json_is_that_of_evaluate_with_intervals(score, recuse, shards):
    levels = ("--risk", "0.1,0.3", "--coverage", "0.5")
    rc, out, err = recuse("sketch", *shards, "--out", "s.npz", "--score", score, "--json", *levels)
    assert (rc, err) == (0, "")
    (found,) = plain(out)["files"]
    expected = measure_file(
        read_logits("all.npz"), [Score.parse(score)], risks=(0.1, 0.3), coverages=(0.5,)
    ).to_dict()
    assert (found["file"], found["n"], found["classes"]) == ("s.npz", 600, 5)
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    (measures,) = found["scores"].values()
    assert list(found["scores"]) == [score]
    for name in ("aurc", "e_aurc", "n_aurc", "augrc"):
        exact = expected["scores"][score][name]
        assert measures[f"{name}_low"] <= exact <= measures[f"{name}_high"]
    for name in ("coverage_at_risk", "risk_at_coverage"):
        for level, exact in expected["scores"][score][name].items():
            assert measures[f"{name}_low"][level] <= exact <= measures[f"{name}_high"][level]
    assert measures["aurc_se"] is None
    assert "aurc_se" in measures["reason"]


def test_the_score_of_a_rejector_is_used_and_named(recuse, shards):
    z, y = sample(400, seed=1)
    w, x = sample(400, seed=2)
    rejector = fit((z, y), (w, x), target_risk=0.2)
    rejector.save("r.json")
    assert recuse("sketch", *shards, "--out", "s.npz", "--rejector", "r.json")[0] == 0
    found = CurveSketch.load("s.npz")
    assert found.about["score"] == str(rejector.score)
    assert found.about["rejector"] == rejector.to_dict()["checksum"]
    assert recuse("sketch", *shards, "--out", "m.npz", "--score", str(rejector.score))[0] == 0
    one_line(
        recuse("merge", "s.npz", "m.npz", "--out", "x.npz"), "m.npz: expected sketches", "rejector"
    )
    one_line(
        recuse("sketch", "a.npz", "--out", "x.npz", "--rejector", "r.json", "--score", "msp"),
        "--score or --rejector, got both",
    )
    one_line(
        recuse("sketch", "a.npz", "--out", "x.npz", "--rejector", "r.json", "--probs"), "as fitted"
    )


def test_a_part_of_a_shard_that_is_all_void_is_left_out(tmp_path):
    z, y = sample(60)
    y[:20] = 9
    write_logits(tmp_path / "v.npz", z, y, ignore_index=9)

    def by_20(shard, **options):
        whole = read_logits(shard, **options)
        return [whole.rows(np.arange(i, i + 20)) for i in (0, 20, 40)]

    plan = Plan(ignore_index=9)
    found = replace(plan, read=by_20).sketch(tmp_path / "v.npz")
    assert found == plan.sketch(tmp_path / "v.npz")
    assert found.n == 40
    write_logits(tmp_path / "all.npz", z, np.full(60, 9), ignore_index=9)
    with pytest.raises(InputError, match="every label is the ignored 9"):
        plan.sketch(tmp_path / "all.npz")


def test_a_sketch_for_each_group_or_class(recuse, shards):
    rc, out, _ = recuse("sketch", *shards, "--out", "g.npz", "--per", "group", "--json")
    assert rc == 0
    assert [f["group"] for f in plain(out)["files"]] == [None, 0, 1, 2, 3]
    found = GroupedSketch.load("g.npz")
    assert [s.n for s in found.values()] == [150] * 4
    rc, out, _ = recuse("sketch", *shards, "--out", "k.npz", "--per", "class")
    assert rc == 0
    assert "k.npz, 4" in out
    z, _ = sample(600)
    counts = np.bincount(z.argmax(axis=1)).tolist()
    assert [s.n for s in GroupedSketch.load("k.npz").values()] == counts
    recuse("sketch", "a.npz", "--out", "a.g.npz", "--per", "group")
    recuse("sketch", "b.safetensors", "c.npz", "--out", "bc.g.npz", "--per", "group")
    assert recuse("merge", "a.g.npz", "bc.g.npz", "--out", "again.npz")[0] == 0
    assert GroupedSketch.load("again.npz") == found
    recuse("sketch", "a.npz", "--out", "one.npz")
    one_line(recuse("merge", "a.g.npz", "one.npz", "--out", "x.npz"), "one.npz", "got both")


def test_pixels_probabilities_and_a_binary_column(recuse, tmp_path):
    z, y = pixels()
    y[0] = 9
    write_logits("p.npz", z, y, ignore_index=9)
    assert recuse("sketch", "p.npz", "--out", "p.sk.npz", "--ignore-index", "9")[0] == 0
    assert CurveSketch.load("p.sk.npz").n == y.size - 36
    column, labels = one_column()
    np.savez("b.npz", logits=column, labels=labels)
    assert recuse("sketch", "b.npz", "--out", "b.sk.npz", "--binary")[0] == 0
    odds = np.exp(sample(50)[0].astype(np.float64))
    write_logits("q.npz", odds / odds.sum(1, keepdims=True), sample(50)[1], kind="probs")
    assert recuse("sketch", "q.npz", "--out", "q.sk.npz", "--probs")[0] == 0
    assert CurveSketch.load("q.sk.npz").about["kind"] == "probs"
    _, _, err = recuse("sketch", "q.npz", "--out", "w.npz")
    assert "q.npz: every row of `logits` lies in [0, 1]" in err
    one_line(
        recuse("sketch", "q.npz", "--out", "x.npz", "--probs", "--score", "logit_norm"), "shift"
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("sketch", "none.npz", "--out", "s.npz"), ["none.npz"]),
        (("sketch", "bare.npz", "--out", "s.npz"), ["bare.npz: expected `labels`"]),
        (("sketch", "a.npz", "--out", "s.txt"), ["s.txt", ".npz"]),
        (("sketch", "a.npz", "--out", "a.npz", "--force"), ["is an input"]),
        (("sketch", "a.npz", "--out", "c.npz"), ["exists: give --force"]),
        (("sketch", "a.npz", "--out", "s.npz", "--score", "guess"), ["'guess'"]),
        (("sketch", "a.npz", "--out", "s.npz", "--per", "row"), ["`per`", "'row'"]),
        (("sketch", "lone.npz", "--out", "s.npz", "--per", "group"), ["lone.npz", "`groups`"]),
        (("sketch", "a.npz", "--out", "s.npz", "--risk", "2"), ["`risk`", "got 2"]),
        (("sketch", "a.npz", "lone.npz", "four.npz", "--out", "s.npz"), ["four.npz", "classes"]),
        (("sketch", "a.npz", "./a.npz", "--out", "s.npz"), ["a.npz is given twice"]),
        (("merge", "m.npz", "m.npz", "--out", "s.npz"), ["m.npz is given twice"]),
        (("merge", "a.npz", "--out", "s.npz"), ["a.npz: expected a sketch"]),
        (("merge", "m.npz", "f.npz", "--out", "s.npz"), ["f.npz: ", "score msp and entropy"]),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(
    command, words, recuse, shards, tmp_path
):
    z, y = sample(20)
    write_logits("bare.npz", z)
    write_logits("lone.npz", z, y)
    write_logits("four.npz", *sample(20, 4))
    assert recuse("sketch", "a.npz", "--out", "m.npz")[0] == 0
    assert recuse("sketch", "a.npz", "--out", "f.npz", "--score", "entropy")[0] == 0
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    one_line(recuse(*command), *words)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
