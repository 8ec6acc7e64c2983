from dataclasses import replace

import numpy as np
import pytest

from answers import one_line, plain
from recuse import CurveSketch, InputError, fit, read, write_logits
from recuse.evaluation import measure_file
from recuse.evaluation._shards import Plan
from recuse.scores import Score
from recuse.sketch import SubgroupSketches, load
from samples import one_column, pixels, sample


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


def with_ids(name, start, n=200, **options):
    z, y = sample(n, seed=start)
    return write_logits(name, z, y, ids=np.arange(start, start + n), **options)


@pytest.mark.parametrize("by", [(), ("--by", "class")])
def test_sketches_that_share_ids_do_not_merge(by, recuse, tmp_path):
    for name, start in (("a.npz", 0), ("b.npz", 199), ("c.npz", 200)):
        with_ids(name, start)
        assert recuse("sketch", name, "--out", f"s-{name}", *by)[0] == 0
    message = "expected sketches of different examples, got 1 ids in both, of 200 compared"
    one_line(recuse("sketch", "a.npz", "b.npz", "--out", "s.npz", *by), f"b.npz: {message}")
    one_line(recuse("merge", "s-a.npz", "s-b.npz", "--out", "s.npz"), f"s-b.npz: {message}")
    assert recuse("merge", "s-a.npz", "s-c.npz", "--out", "s.npz")[0] == 0
    assert recuse("sketch", "c.npz", "a.npz", "--out", "t.npz", *by)[0] == 0
    assert load("s.npz") == load("t.npz")
    one_line(recuse("merge", "s.npz", "s-b.npz", "--out", "u.npz"), "got 200 ids in both")


def test_tables_of_confidences_that_share_ids_do_not_merge(recuse, tmp_path):
    for name in "ab":
        rows = "".join(f"x{i},0.{i + 1},1\n" for i in range(9))
        (tmp_path / f"{name}.csv").write_text(f"id,confidence,correct\n{rows}")
    one_line(recuse("sketch", "a.csv", "b.csv", "--out", "s.npz"), "got 9 ids in both")


def test_a_large_sketch_keeps_a_sample_of_its_ids(tmp_path):
    sketches = []
    for start in (0, 49_500, 50_000):
        sketches.append(CurveSketch().update(np.zeros(50_000), np.zeros(50_000)))
        for part in np.split(np.arange(start, start + 50_000), 5):
            sketches[-1].keep_ids(part)
        sketches[-1].save(tmp_path / "s.npz")
        assert load(tmp_path / "s.npz") == sketches[-1]
    assert (tmp_path / "s.npz").stat().st_size < 40_000
    with pytest.raises(InputError, match="ids in both, of 4,096 compared"):
        sketches[0].merge(sketches[1])
    sketches[0].merge(sketches[2])


@pytest.mark.parametrize("score", ["msp", "margin", "logit_norm(p=3, center=true)", "entropy"])
def test_the_json_is_that_of_evaluate_with_intervals(score, recuse, shards):
    levels = ("--risk", "0.1,0.3", "--coverage", "0.5")
    rc, out, err = recuse("sketch", *shards, "--out", "s.npz", "--score", score, "--json", *levels)
    assert (rc, err) == (0, "")
    (found,) = plain(out)["files"]
    expected = measure_file(
        read("all.npz"), [Score.parse(score)], risks=(0.1, 0.3), coverages=(0.5,)
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
        whole = read(shard, **options)
        return [whole.rows(np.arange(i, i + 20)) for i in (0, 20, 40)]

    plan = Plan(ignore_index=9)
    found = replace(plan, read=by_20).sketch(tmp_path / "v.npz")
    assert found == plan.sketch(tmp_path / "v.npz")
    assert found.n == 40
    write_logits(tmp_path / "all.npz", z, np.full(60, 9), ignore_index=9)
    with pytest.raises(InputError, match="every label is the ignored 9"):
        plan.sketch(tmp_path / "all.npz")


def test_a_sketch_for_each_group_or_class(recuse, shards):
    rc, out, _ = recuse("sketch", *shards, "--out", "g.npz", "--by", "groups", "--json")
    assert rc == 0
    assert [f["subgroup"] for f in plain(out)["files"]] == [None, 0, 1, 2, 3]
    found = SubgroupSketches.load("g.npz")
    assert [s.n for s in found.values()] == [150] * 4
    rc, out, _ = recuse("sketch", *shards, "--out", "k.npz", "--by", "class")
    assert rc == 0
    assert "k.npz, 4" in out
    z, _ = sample(600)
    counts = np.bincount(z.argmax(axis=1)).tolist()
    assert [s.n for s in SubgroupSketches.load("k.npz").values()] == counts
    recuse("sketch", "a.npz", "--out", "a.g.npz", "--by", "groups")
    recuse("sketch", "b.safetensors", "c.npz", "--out", "bc.g.npz", "--by", "groups")
    assert recuse("merge", "a.g.npz", "bc.g.npz", "--out", "again.npz")[0] == 0
    assert SubgroupSketches.load("again.npz") == found
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
    np.savez("q.npz", logits=odds / odds.sum(1, keepdims=True), labels=sample(50)[1])
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
        (("sketch", "a.npz", "--out", "s.npz", "--by", "row"), ["`by`", "'row'"]),
        (("sketch", "lone.npz", "--out", "s.npz", "--by", "groups"), ["lone.npz", "`groups`"]),
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


def test_a_shard_counts_once_however_it_is_given(recuse, shards, tmp_path):
    (tmp_path / "d").mkdir()
    write_logits("d/one.npz", *sample(20))
    write_logits("d/two.npz", *sample(20, seed=1))
    (tmp_path / "link.npz").symlink_to("d/one.npz")
    for given in (["d", "d/one.npz"], ["d/one.npz", "d/*.npz"], ["d", "link.npz"], ["d", "./d"]):
        one_line(recuse("sketch", *given, "--out", "s.npz"), "is given twice", "count twice")
    assert recuse("sketch", "d", "--out", "s.npz", "--quiet") == (0, "", "")
    assert CurveSketch.load("s.npz").n == 40


def test_losses_between_0_and_1_have_no_accuracy(recuse, tmp_path):
    CurveSketch().update([2.0, 1.0], [0.25, 0.5]).save(tmp_path / "f.npz")
    rc, out, err = recuse("merge", "f.npz", "--out", "m.npz", "--json")
    assert (rc, err) == (0, "")
    (entry,) = plain(out)["files"]
    assert entry["accuracy"] is None
    assert entry["reason"]["accuracy"] == "losses other than 0 and 1"
    assert "62.5" not in recuse("merge", "f.npz", "--out", "t.npz")[1]


@pytest.mark.parametrize(
    "command",
    [
        ("sketch", "s.npz", "--out", "x.npz"),
        ("compare", "s.npz", "s.npz"),
        ("evaluate", "folder"),
        ("evaluate", "folder/*.npz"),
        ("predict", "r.json", "s.npz"),
    ],
)
def test_a_sketch_in_place_of_logits_is_called_one(command, recuse, shards, tmp_path):
    fit(sample(400, seed=1), sample(400, seed=2), target_risk=0.2).save("r.json")
    (tmp_path / "folder").mkdir()
    for path in ("s.npz", "folder/s.npz"):
        CurveSketch().update([2.0, 1.0], [0, 1]).save(path)
    one_line(recuse(*command), "s.npz: ", "a sketch: use `recuse evaluate` or `recuse merge`")


def test_arrays_that_may_be_left_out_are_named_so(recuse, tmp_path):
    np.savez(tmp_path / "a.npz", logits=np.eye(3), labels=np.arange(3), target=np.arange(3))
    words = "expected arrays `logits`, `labels` and optionally `groups`, `ids`, got target"
    one_line(recuse("evaluate", "a.npz"), f"a.npz: {words}")


def test_a_merge_of_nothing_is_named_and_not_written(recuse, tmp_path):
    CurveSketch().save(tmp_path / "empty.npz")
    one_line(recuse("merge", "empty.npz", "--out", "m.npz"), "empty.npz: ", "got an empty one")
    assert not (tmp_path / "m.npz").exists()
    CurveSketch().update([2.0], [0]).save(tmp_path / "one.npz")
    assert recuse("merge", "empty.npz", "one.npz", "--out", "m.npz", "--quiet") == (0, "", "")
    assert CurveSketch.load("m.npz").n == 1


@pytest.fixture
def table(tmp_path):
    """A table of four rows in two sites, and its columns."""
    rows = [(0.9, 1, "A"), (0.8, 0, "B"), (0.7, 1, "A"), (0.25, 0, "B")]
    text = "".join(f"{c},{y},{g}\n" for c, y, g in rows)
    (tmp_path / "t.csv").write_text("confidence,correct,group\n" + text)
    return np.float32([c for c, _, _ in rows]), 1 - np.array([y for _, y, _ in rows])


def test_a_table_of_confidences_is_counted(recuse, table, shards):
    rc, out, err = recuse("sketch", "t.csv", "--out", "of_table.npz", "--json")
    assert (rc, err) == (0, "")
    (entry,) = plain(out)["files"]
    assert (entry["n"], entry["classes"], entry["accuracy"]) == (4, None, 0.5)
    assert entry["reason"] == {"classes": "the sketch does not say"}
    found = CurveSketch.load("of_table.npz")
    about = {"score": "confidences of a table", "kind": "confidences"}
    assert found == CurveSketch("float", about=about).update(*table)
    assert recuse("evaluate", "of_table.npz", "--json")[0] == 0
    assert recuse("sketch", "t.csv", "--out", "p.npz", "--scale", "probability")[0] == 0
    assert CurveSketch.load("p.npz") == CurveSketch("probability", about=about).update(*table)
    assert recuse("sketch", "t.csv", "--out", "g.npz", "--by", "groups")[0] == 0
    assert {k: s.n for k, s in SubgroupSketches.load("g.npz").items()} == {"A": 2, "B": 2}
    one_line(recuse("sketch", "t.csv", "a.npz", "--out", "x.npz"), "a.npz: expected sketches")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--score", "msp"), "t.csv: expected logits for --score"),
        (("--rejector", "r.json"), "t.csv: expected logits, got a table of confidences"),
        (("--probs",), "t.csv: expected probs, got a table of confidences"),
        (("--ignore-index", "9"), "t.csv: expected logits for --ignore-index"),
        (("--by", "class"), "t.csv: expected logits for --by class"),
        (("--scale", "guess"), "expected `scale` among"),
        (("--scale", "float16"), "t.csv: expected `confidence` that are float16"),
    ],
)
def test_what_needs_logits_is_refused_for_a_table(given, words, recuse, table, tmp_path):
    fit(sample(400, seed=1), sample(400, seed=2), target_risk=0.2).save("r.json")
    one_line(recuse("sketch", "t.csv", "--out", "x.npz", *given), words)
    assert not (tmp_path / "x.npz").exists()


def test_the_scale_of_logits_can_be_chosen(recuse, shards):
    assert recuse("sketch", "a.npz", "--out", "s.npz", "--scale", "float")[0] == 0
    assert CurveSketch.load("s.npz").scale == "float"


def test_bounds_from_binning_are_not_called_a_confidence_interval(recuse, shards):
    out = recuse("sketch", "a.npz", "--out", "s.npz")[1]
    assert "AURC at least at most" in " ".join(out.splitlines()[1].split())
    assert "not a confidence interval" in out
    assert max(map(len, out.splitlines()[:5])) <= 80


def test_evaluate_says_what_a_sketch_of_other_losses_or_of_nothing_lacks(recuse, tmp_path):
    CurveSketch().update([2.0, 1.0], [0.25, 0.5]).save(tmp_path / "f.npz")
    (entry,) = plain(recuse("evaluate", "f.npz", "--json")[1])["files"]
    assert entry["accuracy"] is None
    assert entry["reason"]["accuracy"] == "losses other than 0 and 1"
    assert "accuracy -" in recuse("evaluate", "f.npz")[1]
    CurveSketch().save(tmp_path / "empty.npz")
    one_line(recuse("evaluate", "empty.npz"), "empty.npz: ", "got an empty one")


@pytest.fixture
def bucket(tmp_path):
    """Two shards and a table in fsspec's memory, and the sketch of the shards."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    total = []
    for i in range(2):
        z, y = sample(200, seed=i)
        write_logits(tmp_path / f"part{i}.npz", z, y)
        files.put(str(tmp_path / f"part{i}.npz"), f"/bucket/part{i}.npz")
        total.append(Plan().sketch(tmp_path / f"part{i}.npz"))
    (tmp_path / "t.csv").write_text("confidence,correct\n0.5,1\n0.25,0\n")
    files.put(str(tmp_path / "t.csv"), "/tables/t.csv")
    yield CurveSketch.merged(total)
    files.store.clear()


def test_shards_behind_a_url_are_sketched_like_those_on_disk(bucket, recuse):
    urls = ["memory://bucket/part0.npz", "memory://bucket/part1.npz"]
    for given in (urls, ["memory://bucket/*.npz"], ["memory://bucket"]):
        assert recuse("sketch", *given, "--out", "u.npz", "--force")[0] == 0
        assert CurveSketch.load("u.npz").to_dict() == bucket.to_dict()
    assert recuse("sketch", "memory://tables/t.csv", "--out", "t.npz")[0] == 0
    assert CurveSketch.load("t.npz").n == 2


def test_a_url_that_cannot_be_read_is_one_line_with_its_name(bucket, recuse, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    import fsspec

    fsspec.filesystem("memory").put(str(tmp_path / "bad.npz"), "/bucket/bad.npz")
    cases = {
        "memory://bucket/none.npz": "memory://bucket/none.npz: cannot be fetched",
        "memory://none/*.npz": "memory://none/*.npz: no such file",
        "nowhere://x/a.npz": "nowhere://x/a.npz: cannot be fetched",
        "memory://bucket/bad.npz": "memory://bucket/bad.npz: cannot be read as npz",
    }
    for url, words in cases.items():
        one_line(recuse("sketch", url, "--out", "u.npz"), words)
    part = "memory://bucket/part0.npz"
    one_line(recuse("sketch", part, part, "--out", "u.npz"), "given twice")
    assert not (tmp_path / "u.npz").exists()
