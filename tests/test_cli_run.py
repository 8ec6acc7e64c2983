"""`recuse run`: the decisions of its steps one by one, and a verdict of at most eight lines."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from answers import one_line, plain
from recuse import InputError, Rejector, diagnose, evaluate, read, run, write_logits
from recuse._internal.files import to_json
from recuse.io import HeldOut, split_rows
from recuse.reports import details
from samples import sample

RUN = ("run", "held-out.npz", "--out", "out", "--target-risk", 0.2)


@pytest.fixture
def held_out(tmp_path):
    z, y = sample(2000, seed=3)
    return write_logits(tmp_path / "held-out.npz", z, y, class_names=list("abcde"))


def test_one_command_does_what_its_steps_do(recuse, held_out, tmp_path):
    rc, out, err = recuse(*RUN, "--seed", 4)
    assert (rc, err) == (0, "")
    fitted = recuse("fit", "held-out.npz", "--target-risk", 0.2, "--seed", 4, "--out", "r.json")
    assert fitted[0] == 0
    assert "All 2,000 rows choose the threshold" in fitted[1]
    rejector = Rejector.load(tmp_path / "out/rejector.json")
    assert rejector == Rejector.load(tmp_path / "r.json")
    assert str(rejector.guarantee) in " ".join(out.split())
    assert "Not measured: the error of new rows" in " ".join(out.split())
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["rejector.json", "report.html"]
    shown = (tmp_path / "out/report.html").read_text()
    assert "Not measured: all rows calibrate" in shown
    assert "test split" not in shown
    reported = recuse("report", "--model", "held-out=held-out.npz", "--target-risk", 0.2)
    assert reported[0] == 0
    assert "Not measured: all rows calibrate" in (tmp_path / "report.html").read_text()


def test_no_model_is_recommended_where_all_rows_calibrate(recuse, held_out, tmp_path):
    z, y = sample(1500, seed=4)
    write_logits(tmp_path / "other.npz", z, y)
    models = ("--model", "one=held-out.npz", "--model", "two=other.npz")
    assert recuse("report", *models, "--target-risk", 0.2)[0] == 0
    shown = (tmp_path / "report.html").read_text()
    assert "No model is recommended: all rows choose thresholds" in shown
    assert "on the tuning split)" not in shown
    assert "Deploy one" not in shown
    assert re.search(r"one: All 2.000 rows .* two: All 1.500 rows", shown)
    one_line(recuse("report", "--model", "a=nope.npz", "--force"), "nope.npz: no such file")


def test_a_large_file_is_cut_and_says_so(recuse, tmp_path, monkeypatch):
    monkeypatch.setattr("recuse.rejector._cut.ENOUGH", 1500)
    z, y = sample(2000, seed=3)
    write_logits(tmp_path / "held-out.npz", z, y)
    rc, out, _ = recuse(*RUN)
    assert rc == 0
    said = "Of 2,000 rows, 20 % choose the score and 80 % the threshold; none is set aside to test."
    assert said in " ".join(out.split())
    rejector = Rejector.load(tmp_path / "out/rejector.json")
    assert (rejector.splits["tune"]["n"], rejector.guarantee.n) == (400, 1600)
    assert rejector.guarantee.method == "fixed_sequence"


@pytest.mark.parametrize("place", ["held-out.npz", "shards", "shards/*.npz"])
def test_a_page_of_one_file_has_rows_of_subgroups_however_it_is_cut(
    recuse, tmp_path, monkeypatch, place
):
    monkeypatch.setattr("recuse.rejector._cut.ENOUGH", 1500)
    z, y = sample(2000, seed=3)
    rows = HeldOut(z, y, subgroups={"site": np.where(np.arange(2000) % 3, "north", "south")})
    write_logits(tmp_path / "held-out.npz", rows)
    (tmp_path / "shards").mkdir()
    for i, part in enumerate((slice(0, 900), slice(900, 2000))):
        write_logits(tmp_path / f"shards/{i}.npz", rows.rows(part))
    report = recuse("report", "--model", f"net={place}", "--target-risk", 0.2, "--by", "site")
    assert report[0] == 0, report
    shown = (tmp_path / "report.html").read_text()
    assert "north" in shown
    assert "south" in shown
    code, *_ = recuse("run", place, "--out", "out", "--target-risk", 0.2, "--by", "site")
    assert code == 0
    found = evaluate({"net": rows}, target_risk=0.2)
    (detail,) = details(found, {"net": rows}, subgroups={"net": rows.subgroups["site"]}).values()
    calibrate = split_rows(rows, found.models[0].cut.parts)["calibrate"]
    assert detail.subgroups.tolist() == calibrate.subgroups["site"].tolist()


def test_a_folder_without_a_file_of_a_split_or_of_shards_is_refused(recuse, held_out, tmp_path):
    (tmp_path / "empty").mkdir()
    one_line(recuse("report", "--model", "net=empty"), "expected a tune file such as")
    (tmp_path / "two").mkdir()
    write_logits(tmp_path / "two/calibrate.npz", held_out)
    one_line(recuse("report", "--model", "net=two"), "expected a tune file such as")


def test_the_verdict_is_short_and_says_where_everything_is(recuse, held_out, tmp_path):
    out = recuse(*RUN)[1]
    lines = out.rstrip().splitlines()
    assert len(lines) <= 8
    heads = [line.partition(":")[0] for line in lines]
    steps = ["Model", "Training", "Rows", "Score", "Guarantee", "Not measured", "Deploy", "Page"]
    assert heads == steps
    answer = plain(recuse(*RUN, "--force", "--json")[1])
    assert answer["feasible"]
    assert all((tmp_path / path).exists() for path in answer["written"])
    again = run(read(tmp_path / "held-out.npz"), target_risk=0.2)  # the same in Python
    assert again.rejector == Rejector.load(tmp_path / "out/rejector.json")
    told = " ".join(out.split())
    assert all(" ".join(line.split()) in told for line in again.lines())
    assert str(again).splitlines()[-1].startswith("Deploy: save `rejector`")


def test_subgroups_are_a_column_or_a_file_for_every_command(recuse, tmp_path):
    z, y = sample(2000, seed=3)
    site, ids = np.where(np.arange(2000) % 3, "north", "south"), np.arange(2000)
    write_logits(tmp_path / "own.npz", z, y, ids=ids, subgroups={"site": site})
    write_logits(tmp_path / "held-out.npz", z, y, ids=ids)
    rows = zip(*z.T, y, ids, site)
    head = ",".join([*(f"logit_{k}" for k in range(5)), "label", "id", "site"])
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "table.csv").write_text("\n".join([head, *lines]))
    names = [f"{i},{name}" for i, name in zip(ids, site)]
    (tmp_path / "site.csv").write_text("\n".join(["id,site", *names]))
    shown = []
    for file, by in (("own.npz", "site"), ("table.csv", "site"), ("held-out.npz", "site.csv")):
        run = ("run", file, "--out", "out", "--target-risk", 0.2, "--by", by, "--force", "--quiet")
        assert recuse(*run)[0] == 0, file
        shown.append((tmp_path / "out/report.html").read_text())
    assert all("north" in page and "south" in page for page in shown)
    assert recuse("report", "--model", "a=held-out.npz", "--by", "site.csv")[0] == 0
    assert recuse("split", "own.npz", "--out", "own")[0] == 0
    assert recuse("report", "--model", "a=own", "--by", "site", "--force")[0] == 0
    assert "south" in (tmp_path / "report.html").read_text()
    splits = ("--tune", "own/tune.npz", "--calibrate", "own/calibrate.npz")
    assert recuse("fit", *splits, "--target-risk", 0.4, "--by", "site")[0] == 0
    assert recuse("predict", "rejector.json", "own/test.npz", "--by", "site")[0] == 0
    assert recuse("predict", "rejector.json", "table.csv", "--by", "site")[0] == 0
    missing = recuse("run", "own.npz", "--by", "ward", "--out", "other")
    one_line(missing, "expected a column of subgroups of own.npz (site) or a .csv of id and subg")


def test_repeated_ids_are_refused_or_kept_once_by_every_command(recuse, tmp_path):
    z, y = sample(1500, seed=3)
    twice = np.r_[np.arange(1500), np.arange(300)]
    write_logits(tmp_path / "held-out.npz", z[twice], y[twice], ids=twice)
    one_line(recuse(*RUN), "expected ids that differ in held-out.npz, got 1,800 rows of 1,500 ids")
    keep = ("--repeated-ids", "keep_one")
    assert recuse(*RUN, *keep)[0] == 0
    rejector = Rejector.load(tmp_path / "out/rejector.json")
    assert (rejector.guarantee.unit, rejector.guarantee.n) == ("groups", 1500)
    whole = replace(read(tmp_path / "held-out.npz"), groups=twice)
    parts = split_rows(whole, {"tune": 0.4, "calibrate": 0.4, "test": 0.2})
    for name, part in parts.items():  # as rows that a sampler repeated, without groups
        write_logits(tmp_path / "own" / f"{name}.npz", part.logits, part.labels, ids=part.ids)
    report = ("report", "--model", "own=own", "--target-risk", 0.2)
    one_line(recuse(*report), "expected ids that differ in")
    assert recuse(*report, *keep)[0] == 0
    splits = {"own": {name: read(tmp_path / "own" / f"{name}.npz") for name in parts}}
    found = evaluate(splits, target_risk=0.2, repeated_ids="keep_one", progress=False)
    shown = details(found, splits, repeated_ids="keep_one")["own"]
    grouped = details(found, {"own": parts})["own"]
    np.testing.assert_array_equal(shown.before.accepted, grouped.before.accepted)


def test_infeasible_is_exit_code_1_and_leaves_no_rejector_of_before(recuse, held_out, tmp_path):
    assert recuse(*RUN)[0] == 0
    rc, out, err = recuse(*RUN[:-1], 0.0001, "--force")
    assert (rc, err) == (1, "")
    assert "The smallest target that would have passed is" in " ".join(out.split())
    assert "Deploy: nothing yet" in out
    assert not (tmp_path / "out/rejector.json").exists()
    assert (tmp_path / "out/report.html").exists()


def test_a_report_without_a_threshold_says_why_and_a_program_reads_it(recuse, held_out, tmp_path):
    models = ("report", "--model", "net=held-out.npz", "--model", "other=other.npz")
    z, y = sample(300, seed=4)
    write_logits(tmp_path / "other.npz", z, np.roll(y, 1))
    rc, out, err = recuse(*models, "--target-risk", 0.001)
    assert (rc, err) == (1, "")
    said = out.splitlines()
    assert re.match("net: Infeasible: no threshold passed the test for a risk of 0.1 %", said[0])
    assert sum(line.startswith("other: Infeasible: ") for line in said) == 1
    assert said[-1] == "Written to report.html."
    assert (tmp_path / "report.html").exists()
    rc, out, err = recuse(*models, "--target-risk", 0.2, "--json", "--force")
    assert (rc, err) == (0, "")
    net, other = plain(out)["models"]
    assert (net["name"], net["n"], net["tested"], net["feasible"]) == ("net", 2000, False, True)
    assert net["guarantee"].startswith("With 95 % confidence, at most 20 % of accepted")
    assert (other["feasible"], other["accepted"]) == (False, 0)
    assert plain(out)["written"] == ["report.html"]
    rc, out, _ = recuse(*models, "--target-risk", 0.2, "--force")
    assert rc == 0  # one of them can be deployed
    assert [line[:17] for line in out.splitlines()][:: len(out.splitlines()) - 1] == [
        "other: Infeasible",
        "Written to report",
    ]


def test_a_joint_guarantee_has_a_rejector_and_no_page(recuse, held_out, tmp_path):
    assert recuse(*RUN)[0] == 0
    rc, out, err = recuse(*RUN, "--among", "all", "--force")
    assert (rc, err) == (0, "")
    assert "at most 20 % of all predictions are accepted and wrong" in " ".join(out.split())
    assert out.endswith(
        "Page: none, since a page is about the error rate of accepted predictions.\n"
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejector.json"]
    assert Rejector.load(tmp_path / "out/rejector.json").guarantee.among == "all"
    one_line(recuse(*RUN, "--among", "some", "--force"), "`among` accepted or all, got 'some'")


def test_nothing_is_overwritten_and_a_file_without_labels_is_refused(recuse, held_out, tmp_path):
    write_logits(tmp_path / "new.npz", sample(50)[0])
    one_line(recuse("run", "new.npz", "--out", "o"), "new.npz: expected `labels`, got logits alone")
    assert not (tmp_path / "o").exists()
    assert recuse(*RUN)[0] == 0
    one_line(recuse(*RUN), "rejector.json exists: give --force")


def test_one_row_of_each_group_calibrates(recuse, tmp_path):
    z, y = sample(1200, seed=5)
    write_logits(tmp_path / "held-out.npz", z, y, groups=np.arange(1200) // 2)
    rc, out, _ = recuse(*RUN)
    assert rc == 0
    assert "All 600 groups choose the threshold" in " ".join(out.split())
    assert Rejector.load(tmp_path / "out/rejector.json").guarantee.n == 600


def test_a_named_model_goes_from_the_import_to_the_warning_of_predict(recuse, tmp_path):
    for part, seed in (("tune", 1), ("calibrate", 2), ("new", 3)):
        z, y = sample(400, seed=seed)
        lines = [",".join(map(str, (label, *row))) for label, row in zip(y, z)]
        head = ",".join(["label", *(f"logit_{k}" for k in range(5))])
        (tmp_path / f"{part}.csv").write_text("\n".join([head, *lines]))
        model = "v2" if part == "new" else "v1"
        made = recuse("import", f"{part}.csv", "--out", f"{part}.npz", "--model", model)
        assert made[0] == 0
    new = read(tmp_path / "new.npz")
    assert new.model == "v2"
    fitted = ("fit", "--tune", "tune.npz", "--calibrate", "calibrate.npz", "--target-risk", 0.2)
    assert recuse(*fitted)[0] == 0
    assert Rejector.load(tmp_path / "rejector.json").model.name == "v1"
    one_line(recuse(*fitted, "--model", "v3", "--force"), "expected model='v1' (--model), as cal")
    (tmp_path / "shards").mkdir()
    for i in range(2):
        part = replace(new.rows(slice(200 * i, 200 * i + 200)), model="v2")
        write_logits(tmp_path / f"shards/{i}.npz", part)
    rc, out, err = recuse("predict", "rejector.json", "shards", "--json")
    assert rc == 0
    assert err == (
        "recuse: warning: shards: outputs of v2, but the rejector was fitted to those of v1: its "
        "guarantee does not hold; fit again for this model\n"
    )
    (change,) = plain(out)["model_changes"]
    assert change == {"what": "name", "found": "v2", "expected": "v1"}
    write_logits(tmp_path / "shards/2.npz", replace(part, model="v3"))
    one_line(recuse("predict", "rejector.json", "shards"), "expected shards alike, got model v3")


def test_probabilities_of_exactly_0_are_no_obstacle():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    votes = rng.multinomial(5, 0.2 / 3 + 0.8 * np.eye(3)[labels]) / 5  # as of a small forest
    found = run((votes, labels), kind="probs", target_risk=0.2)
    assert found.diagnosis is None
    assert "\nTraining: Cannot tell: probabilities of exactly 0, as of trees" in str(found)
    with pytest.raises(InputError, match=r"expected probabilities > 0.* of trees"):
        diagnose(votes, labels, kind="probs")


def test_the_diagnosis_of_a_run_is_that_of_all_rows():
    rows = sample(600)
    found, alone = run(rows), diagnose(*rows)
    assert to_json(found.diagnosis.to_dict()) == to_json(alone.to_dict())
    assert found.diagnosis.digest == alone.digest


def test_report_shows_the_rejector_that_will_be_deployed(recuse, tmp_path):
    rng = np.random.default_rng(5)

    def write(name, n=900):
        labels = rng.integers(0, 4, n)
        logits = rng.normal(size=(n, 4)) + 2.5 * np.eye(4)[labels]
        np.savez(tmp_path / name, logits=logits.astype("f4"), labels=labels)

    write("old.npz"), write("new.npz")
    assert recuse("fit", "old.npz", "--target-risk", 0.1, "--out", "r.json", "--quiet")[0] == 0
    code, out, err = recuse("report", "--model", "net=new.npz", "--rejector", "r.json")
    assert (code, out) == (0, "Written to report.html.\n"), err
    page = (tmp_path / "report.html").read_text()
    threshold = json.loads((tmp_path / "r.json").read_text())["rules"][0]["threshold"]
    assert f"{1 / (1 + np.exp(-float(threshold))):.6g}" in page or "logit_norm" in page
    assert "nothing of this page chose it" in page
    code, out, _ = recuse("report", "--model", "net=old.npz", "--target-risk", 0.1, "--force")
    assert (code, out) == (
        0,
        "Written to report.html, with the rejector that it shows in report.json.\n",
    )
    shown, fitted = (json.loads((tmp_path / n).read_text()) for n in ("report.json", "r.json"))
    assert shown["rules"] == fitted["rules"]
    again = recuse("report", "--model", "net=old.npz", "--out", "report.html")
    one_line(again, "report.html exists")


def test_the_page_bears_the_name_of_the_model_that_the_file_knows(recuse, tmp_path):
    assert recuse("example", "--out", "held-out.npz")[0] == 0
    assert recuse("run", "held-out.npz", "--out", "out", "--target-risk", 0.1, "--quiet")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text()
    title = "timm:tf_efficientnet_lite2 on 500 predictions of 1,000 classes"
    assert f"<title>{title}</title>" in page
