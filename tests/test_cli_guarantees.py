"""`fit` and `predict` with every guarantee, in real processes."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from recuse import Rejector, write_logits
from samples import equal_costs
from test_rules import CALIBRATE, SITE, TEST, TUNE

FIT = ("fit", "--tune", "tune.npz", "--calibrate", "calibrate.npz", "--no-learned")
PARTS = {"tune": TUNE, "calibrate": CALIBRATE, "test": TEST}


def order(k):
    """The ids of a file's rows, mixed."""
    return np.random.default_rng(k).permutation(2000)


def process(*arguments, cwd):
    command = [sys.executable, "-m", "recuse", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path):
    for k, (name, (z, y)) in enumerate(PARTS.items()):
        write_logits(tmp_path / f"{name}.npz", z, y, ids=2000 * k + order(k))
    write_csv(tmp_path / "site.csv")
    costs = [",".join(map(str, (k, *row))) for k, row in enumerate(equal_costs(4))]
    (tmp_path / "costs.csv").write_text("\n".join(["label,0,1,2,3,abstain", *costs]))
    return lambda *arguments: process(*arguments, cwd=tmp_path)


def write_csv(path, *, order=None, changed=None, drop=()):
    """The site of every id, in any order."""
    of = {str(i + 2000 * k): SITE[k][i] for k in range(3) for i in range(2000)}
    names = list(of) if order is None else [list(of)[i] for i in order]
    rows = [(i, of[i]) for i in names if i not in drop] + (changed or [])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "site"), *rows])


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        (("--coverage", 0.8), "coverage", "at least 80 % of predictions are accepted"),
        (("--costs", "costs.csv"), "mean_cost", "a prediction costs at most"),
        (("--target-risk", 0.1, "--method", "band"), "risk", "thresholds of the band hold at once"),
        (
            ("--target-risk", 0.05, "--among", "all"),
            "risk",
            "all predictions are accepted and wrong",
        ),
    ],
)
def test_each_guarantee_is_fitted_and_compared_with_what_came_about(
    run, tmp_path, options, kind, said
):
    rc, out, err = run(*FIT, *options)
    assert (rc, err) == (0, "")
    assert said in out
    rc, out, err = run("predict", "rejector.json", "test.npz", "--json", "--out", "p.csv")
    assert (rc, err) == (0, "")
    summary = json.loads(out)
    assert summary["guarantee"]["kind"] == kind
    assert said in summary["statement"]
    value = {"risk": "risk", "coverage": "coverage", "mean_cost": "cost"}[kind]
    low, high = summary[f"{value}_interval"]
    assert low < summary[value] < high
    said_by = run("predict", "rejector.json", "test.npz")[1]
    assert "is in line with the guaranteed" in said_by


def test_thresholds_of_classes_are_printed_by_class(run, tmp_path):
    rc, out, err = run(*FIT, "--target-risk", 0.1, "--by", "class")
    assert (rc, err) == (0, "")
    assert "in each predicted class that has a threshold (3 of 4" in " ".join(out.split())
    assert "Thresholds of 3 of 4 predicted classes, written to rejector.json" in out
    assert "\nClass 3: Infeasible: no threshold passed the test for a risk of 10 %" in out
    rc, out, err = run("predict", "rejector.json", "test.npz", "--explain", 4000, "--json")
    found = json.loads(out)
    assert [row["subgroup"] for row in found["subgroups"]] == [None, 0, 1, 2, 3]
    assert found["subgroups"][4]["accepted"] == 0
    rejector = Rejector.load(tmp_path / "rejector.json")
    assert found["accepted"] == rejector.predict(TEST[0]).accept.sum()
    assert found["explanations"][0]["subgroup"] == found["explanations"][0]["prediction"]
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    out = run("predict", "rejector.json", "test.npz", "--classes", "names.txt", "--explain", 4000)[
        1
    ]
    assert all(name in out for name in ("ant", "bee", "cat", "dog"))
    assert "of class" in out
    above, below = (line for line in out.splitlines() if "┃" in line)
    assert "risk, all ┃" in above
    assert "accepted ┃" in below
    assert len(above) <= 80


def test_a_shuffled_csv_gives_the_same_decisions(run, tmp_path):
    fitted = run(*FIT, "--target-risk", 0.1, "--by", "site.csv")
    assert (fitted[0], fitted[2]) == (0, "")
    predict = ("predict", "rejector.json", "test.npz")
    assert run(*predict, "--by", "site.csv", "--out", "a.csv", "--quiet") == (0, "", "")
    write_csv(tmp_path / "other.csv", order=np.random.default_rng(0).permutation(6000))
    assert run(*FIT, "--target-risk", 0.1, "--by", "other.csv", "--out", "o.json")[0] == 0
    assert (tmp_path / "o.json").read_text() == (tmp_path / "rejector.json").read_text()
    assert run(*predict, "--by", "other.csv", "--out", "b.csv", "--quiet") == (0, "", "")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    expected = Rejector.load(tmp_path / "rejector.json").predict(TEST[0], SITE[2][order(2)]).accept
    with (tmp_path / "a.csv").open() as file:
        assert [row["accept"] == "true" for row in csv.DictReader(file)] == expected.tolist()
    out = run(*predict, "--by", "site.csv", "--explain", 4000)[1]
    assert "of subgroup" in out
    assert "north" in out


def test_groups_without_labels_have_a_coverage_and_no_errors(run, tmp_path):
    assert run(*FIT, "--target-risk", 0.1, "--by", "site.csv")[0] == 0
    write_logits(tmp_path / "bare.npz", TEST[0], ids=np.arange(2000) + 4000)
    rc, out, err = run("predict", "rejector.json", "bare.npz", "--by", "site.csv")
    assert (rc, err) == (0, "")
    assert "coverage" in out
    assert "errors" not in out.split("south")[0].splitlines()[-5]


def test_several_targets_are_several_files_and_one_that_is_infeasible_is_said(run, tmp_path):
    rc, out, err = run(*FIT, "--target-risk", "0.0001,0.05,0.1", "--out", "r.json", "--json")
    assert (rc, err) == (1, "")
    assert [fit["feasible"] for fit in json.loads(out)["fits"]] == [False, True, True]
    assert sorted(p.name for p in tmp_path.glob("r*.json")) == ["r-0.05.json", "r-0.1.json"]
    loaded = Rejector.load(tmp_path / "r-0.05.json")
    assert (loaded.guarantee.target_risk, loaded.delta) == (0.05, 0.05 / 3)
    rc, out, err = run(*FIT, "--target-risk", "0.05,0.1", "--out", "r.json")
    assert (rc, out) == (2, "")
    assert "r-0.05.json exists: give --force" in err


BAD = [
    ((), "expected one of --target-risk, --coverage and --costs, or --misses, got none"),
    (("--coverage", 0.8, "--costs", "c.csv"), "got --coverage and --costs"),
    (("--costs", "none.csv"), "none.csv: expected a table of costs, got No such file"),
    (("--target-risk", 0.1, "--out", "r.csv"), "r.csv: expected a name ending in .json"),
    (("--target-risk", 0.1, "--method", "bets"), "betting, sgr, got 'bets'"),
    (("--coverage", "most"), "unable to parse string as a number, got 'most'; see recuse fit"),
    (("--coverage", 80), "`coverage` in (0, 1), got 80.0"),
    (("--coverage", 0.8, "--by", "class"), "with one --target-risk, got --coverage 0.8"),
    (("--target-risk", "0.1,0.2", "--by", "class"), "risk, got --target-risk 0.1,0.2"),
    (("--target-risk", "0.1,x"), "expected numbers for --target-risk"),
    (("--target-risk", 0.1, "--by", "none.csv"), "none.csv: expected class, a column of"),
    (("--target-risk", 0.1, "--by", "twice.csv"), "twice.csv: line 6002: expected one subgroup"),
    (
        ("--target-risk", 0.1, "--by", "less.csv"),
        "less.csv: expected a subgroup for each id of tune",
    ),
    (("--target-risk", 0.1, "--by", "head.csv"), "head.csv: expected the header id,<name>"),
    (("--target-risk", 0.1, "--by", "tune.npz"), "tune.npz: cannot be read as csv"),
]


def test_what_cannot_be_fitted_is_one_line_and_writes_nothing(run, tmp_path):
    write_csv(tmp_path / "twice.csv", changed=[("7", "east")])
    write_csv(tmp_path / "less.csv", drop=("5", "6"))
    (tmp_path / "head.csv").write_text("name,site\n1,a\n")
    before = {p.name for p in tmp_path.iterdir()}
    for options, message in BAD:
        rc, out, err = run(*FIT, *options)
        assert (rc, out) == (2, ""), options
        assert message in err
        assert err.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} == before


def test_the_name_of_a_table_is_checked_before_anything_is_read(run, tmp_path):
    rc, out, err = run("predict", "none.json", "none.npz", "--out", "p.txt")
    assert (rc, out) == (2, "")
    assert err == "recuse: p.txt: expected a name ending in .csv or .parquet or .npz\n"
    assert run(*FIT, "--target-risk", 0.1)[0] == 0
    assert run("predict", "rejector.json", "test.npz", "--out", "P.NPZ", "--quiet")[0] == 0
    assert sorted(p.name for p in tmp_path.glob("P*")) == ["P.NPZ"]


def test_a_class_above_its_target_is_named(run, tmp_path):
    assert run(*FIT, "--target-risk", 0.1, "--by", "class")[0] == 0
    said = "Risk intervals above the guaranteed 10.0 %: none."
    assert said in run("predict", "rejector.json", "test.npz")[1]
    z, y = TEST
    write_logits(tmp_path / "worse.npz", z, np.where(z.argmax(axis=1) == 1, 0, y))
    said = "Risk intervals above the guaranteed 10.0 %: 1."
    assert said in run("predict", "rejector.json", "worse.npz")[1]


def test_ids_that_a_sampler_repeated_are_refused_or_used_once(run, tmp_path):
    z, y = CALIBRATE
    twice = np.r_[order(1), order(1)]
    write_logits(tmp_path / "calibrate.npz", z[twice], y[twice], ids=twice + 9000)
    code, out, err = run(*FIT, "--target-risk", 0.1)
    assert (code, out) == (2, "")
    assert err.startswith("recuse: expected ids that differ in calibrate.npz, got 4,000 rows of")
    assert "--repeated-ids keep_one" in err
    code, out, err = run(*FIT, "--target-risk", 0.1, "--repeated-ids", "keep_one")
    assert (code, err) == (0, "")
    assert "Calibrate: one row of each of 2,000 groups, of 4,000 rows." in out
    write_logits(tmp_path / "calibrate.npz", z[twice], y[twice])
    code, out, err = run(*FIT, "--target-risk", 0.1, "--out", "again.json")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("recuse: warning: calibrate.npz: 50.0 % of the rows repeat another")


def test_groups_are_given_where_they_are_needed(run, tmp_path):
    assert run(*FIT, "--target-risk", 0.1, "--by", "site.csv")[0] == 0
    assert run(*FIT, "--target-risk", 0.1, "--out", "all.json")[0] == 0
    write_logits(tmp_path / "bare.npz", *TEST)
    for command, message in [
        (("rejector.json", "test.npz"), "expected --by with the subgroups"),
        (("all.json", "test.npz", "--by", "site.csv"), "expected no --by"),
        (("rejector.json", "bare.npz", "--by", "site.csv"), "bare.npz: expected `ids`"),
    ]:
        rc, out, err = run("predict", *command, "--out", "p.csv")
        assert (rc, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "p.csv").exists()


def test_a_coverage_is_monitored_with_a_target_of_its_own(run, tmp_path):
    assert run(*FIT, "--coverage", 0.8)[0] == 0
    assert run("predict", "rejector.json", "test.npz", "--out", "p.csv", "--quiet")[0] == 0
    monitor = ("monitor", "rejector.json", "--state", "s.json", "--log", "p.csv")
    rc, out, err = run(*monitor)
    assert (rc, out) == (2, "")
    assert "the guarantee of this rejector is for a coverage" in err
    assert run(*monitor, "--target-risk", 0.3)[0] == 0
