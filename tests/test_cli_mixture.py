import numpy as np
import pytest

import answers
from answers import one_line
from recuse import write_logits
from recuse._internal.files import to_json
from recuse.evaluation import Source, measure_mixture, score_sources
from recuse.io import HeldOut
from recuse.scores import Score, from_probs
from samples import one_column, pixels, sample

Z, Y = sample(400)
W, V = sample(300, seed=1)
ODD = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
COMMAND = ("mixture", "clean=a.npz", "dim=b.npz", "--ood", "odd=o.npz")


def plain(answer):
    rc, out, err = answer
    assert (rc, err) == (0, "")
    return answers.plain(out)


@pytest.fixture
def files(tmp_path):
    """Two labelled sources and outliers, with the labels of another task."""
    write_logits(tmp_path / "a.npz", Z, Y)
    write_logits(tmp_path / "b.npz", W / 2, V)
    np.savez(tmp_path / "o.npz", logits=ODD, labels=np.arange(200) - 1)
    return {
        "clean": Source(HeldOut(Z, Y)),
        "dim": Source(HeldOut(W / 2, V)),
        "odd": Source(HeldOut(ODD), outliers=True),
    }


MSP = Score("msp")


def measured(sources, score=MSP, **options):
    mixture = score_sources(sources, [score])
    return answers.plain(to_json(measure_mixture(mixture, str(score), **options).to_dict()))


def test_the_answer_for_programs_is_that_of_the_library(recuse, files):
    found = plain(recuse(*COMMAND, "--json"))
    assert found["scores"] == {"msp": measured(files)}
    assert found["sources"]["odd"] == {"file": "o.npz", "ood": True}
    assert found["sources"]["dim"] == {"file": "b.npz", "ood": False}
    assert (found["cost_error"], found["cost_ood"], found["shares"]) == (1, 1, "rows")


def test_levels_costs_and_shares_reach_the_measures(recuse, files):
    options = ("--coverage", "0.1,0.5", "--risk", 0.3, "--cost-ood", 0.5, "--cost-error", 0.25)
    shares = ("--share", "odd=0.05", "--share", "clean=0.9")
    found = plain(recuse(*COMMAND, *options, *shares, "--json"))
    expected = measured(
        files,
        coverages=[0.1, 0.5],
        risks=[0.3],
        cost_ood=0.5,
        cost_error=0.25,
        shares={"odd": 0.05, "clean": 0.9},
    )
    assert found["scores"]["msp"] == expected
    assert found["shares"] == "deployment"
    assert expected["points"][0]["sources"]["dim"]["share"] == pytest.approx(0.05)


def test_each_score_has_a_table_of_its_own(recuse, files):
    norm = Score("logit_norm", {"p": 3.0, "center": True})
    options = ("--score", "msp,logit_norm(p=3, center=true)", "--score", "entropy")
    found = plain(recuse(*COMMAND, *options, "--json"))["scores"]
    assert list(found) == ["msp", str(norm), "entropy"]
    assert found[str(norm)] == measured(files, norm)
    rc, out, err = recuse(*COMMAND, *options)
    assert (rc, err) == (0, "")
    assert out.count("(ood)") == 6
    assert out.count("coverage 10 %: threshold") == 3


def test_the_table_for_people_says_what_was_counted(recuse, files):
    rc, out, err = recuse(*COMMAND, "--coverage", 0.2)
    assert (rc, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    point = measured(files, coverages=[0.2])["points"][0]
    for name, row in point["sources"].items():
        words = next(line for line in lines if line and line[0] == name)
        words = [word for word in words if word not in ("%", "(ood)")]
        expected = [f"{row['n']:,}", f"{row['accepted']:,}", f"{100 * row['coverage']:.1f}"]
        assert words[1:4] == expected
        assert words[4] == f"{row['errors']:.0f}" + "*" * (row["errors"] < 10)
    assert "Risk is (1 x errors + 1 x outliers) / accepted" in out
    assert "95 % of the others" in out
    assert max(map(len, out.splitlines()[:6])) <= 80


def test_without_outliers_nothing_is_said_of_them(recuse, files):
    rc, out, err = recuse("mixture", "clean=a.npz", "dim=b.npz", "--share", "dim=0.1")
    assert (rc, err) == (0, "")
    for word in ("AUROC", "ood", "outliers"):
        assert word not in out
    assert "by its share" in out
    assert "10.0 %" in out


def test_a_threshold_of_one_score_can_be_given(recuse, files):
    found = plain(recuse(*COMMAND, "--threshold", 1.5, "--json"))["scores"]["msp"]
    assert found == measured(files, coverages=[], thresholds=[1.5])
    assert "msp, threshold 1.5" in recuse(*COMMAND, "--threshold", 1.5)[1]
    two = ("--threshold", 1.5, "--score", "msp,margin")
    one_line(recuse(*COMMAND, *two), "expected one --score with --threshold, got 2")


def test_a_risk_that_no_threshold_reaches_is_said_in_words(recuse, tmp_path):
    write_logits(tmp_path / "a.npz", Z, Z.argmin(axis=1))
    rc, out, err = recuse("mixture", "wrong=a.npz", "--risk", 0.01)
    assert (rc, err) == (0, "")
    assert "msp, risk 1 %: no threshold reaches it" in out
    assert "No s.e. of the whole: a source has fewer than two independent rows" in out
    found = plain(recuse("mixture", "wrong=a.npz", "--risk", 0.01, "--json"))
    assert found["scores"]["msp"]["points"][0]["threshold"] is None


def test_pixels_probabilities_and_binary_heads_are_read_as_declared(recuse, tmp_path):
    z, y = pixels(8)
    void = y.copy()
    void[:, 0] = 255
    write_logits(tmp_path / "p.npz", z, void, ignore_index=255)
    write_logits(tmp_path / "q.npz", -z)
    command = ("mixture", "in=p.npz", "--ood", "out=q.npz", "--json")
    point = plain(recuse(*command, "--ignore-index", 255))["scores"]["msp"]["points"][0]
    assert (point["sources"]["in"]["n"], point["sources"]["out"]["n"]) == (240, 288)

    probs = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    write_logits(tmp_path / "r.npz", probs, Y, kind="probs")
    found = plain(recuse("mixture", "in=r.npz", "--probs", "--json"))["scores"]["msp"]
    assert found == measured({"in": Source(HeldOut(from_probs(probs), Y))})

    z, y = one_column(100)
    write_logits(tmp_path / "h.npz", z, y, kind="binary")
    assert plain(recuse("mixture", "in=h.npz", "--binary", "--json"))["sources"]


def test_outliers_that_look_like_probabilities_are_warned_of(recuse, tmp_path, files):
    write_logits(tmp_path / "p.npz", np.exp(ODD) / np.exp(ODD).sum(axis=1, keepdims=True))
    rc, _, err = recuse("mixture", "clean=a.npz", "--ood", "odd=p.npz")
    assert rc == 0
    assert "p.npz: every row of `logits` lies in [0, 1]" in err


def test_groups_of_a_shifted_copy_are_those_of_the_original(recuse, tmp_path):
    """Twice the same rows: half as many independent ones, a standard error 1.4 times as large."""
    groups = np.arange(400)
    write_logits(tmp_path / "a.npz", Z, Y, groups=groups)
    write_logits(tmp_path / "b.npz", Z, Y, groups=groups)
    write_logits(tmp_path / "c.npz", Z, Y, groups=groups + 1000)
    same, other = (
        plain(recuse("mixture", "one=a.npz", f"two={f}", "--json"))["scores"]["msp"]["aurc_se"]
        for f in ("b.npz", "c.npz")
    )
    assert same == pytest.approx(np.sqrt(2) * other, rel=0.01)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["a.npz"], ["expected NAME=FILE, got 'a.npz'"]),
        (["=a.npz"], ["expected NAME=FILE, got '=a.npz'"]),
        (["a="], ["expected NAME=FILE, got 'a='"]),
        (["a=a.npz", "--ood", "o.npz"], ["expected NAME=FILE, got 'o.npz'"]),
        (["a=a.npz", "a=b.npz"], ["names that differ, got 'a' twice"]),
        (["a=a.npz", "--ood", "a=o.npz"], ["names that differ, got 'a' twice"]),
        (["all=a.npz"], ["another name than 'all'"]),
        (
            ["a=a.npz", "f=four.npz"],
            ["same number of classes, got 5 in a (a.npz) and 4 in f (four.npz)"],
        ),
        (["a=a.npz", "--ood", "f=four.npz"], ["got 5 in a (a.npz) and 4 in f (four.npz)"]),
        (["a=a.npz", "b=bare.npz"], ["bare.npz: expected `labels`, got logits alone"]),
        (["a=none.npz"], ["none.npz: no such file"]),
        (["a=a.npz", "--ood", "o=none.npz"], ["none.npz: no such file"]),
        (["a=a.npz", "--cost-ood", "-1"], ["`cost_ood` finite and >= 0, got -1"]),
        (["a=a.npz", "--cost-error", "nan"], ["`cost_error` finite and >= 0, got nan"]),
        (["a=a.npz", "--cost-error", "0", "--cost-ood", "0"], ["above 0, got 0 and 0"]),
        (["a=a.npz", "--coverage", "10"], ["`coverage` in (0, 1], got 10", "is the fraction 0.1"]),
        (["a=a.npz", "--coverage", "x"], ["expected numbers for --coverage, got 'x'"]),
        (["a=a.npz", "--risk", "5"], ["`risk` in [0, 1], got 5"]),
        (["a=a.npz", "--threshold", "nan"], ["`threshold` as a number, got NaN"]),
        (["a=a.npz", "--score", "guess"], ["a score among", "'guess'"]),
        (["a=a.npz", "--share", "x=0.1"], ["expected shares of a, got one of x"]),
        (["a=a.npz", "--share", "0.1"], ["expected --share NAME=SHARE, got '0.1'"]),
        (["a=a.npz", "--share", "a=much"], ["`share of a` as a number in (0, 1], got 'much'"]),
        (["a=a.npz", "--share", "a=0.5"], ["shares that sum to 1, got 0.5"]),
        (["a=a.npz", "--share", "a=1,a=1"], ["names that differ, got 'a' twice"]),
        (["a=a.npz", "b=b.npz", "--share", "a=1"], ["sum to less than 1, got 1"]),
    ],
)
def test_what_is_no_mixture_is_one_line(command, words, recuse, tmp_path, files):
    write_logits(tmp_path / "four.npz", *sample(30, classes=4))
    write_logits(tmp_path / "bare.npz", Z)
    before = sorted(tmp_path.iterdir())
    one_line(recuse("mixture", *command), *words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--risk", "5"], ["`risk` in [0, 1], got 5"]),
        (["--risk", "5", "--cost-ood", "7"], ["`risk` in [0, 1], got 5"]),
        (["--risk", "-1", "--cost-error", "2"], ["`risk` in [0, 2]"]),
        (["--threshold", "nan"], ["`threshold` as a number, got NaN"]),
        (["--coverage", "0"], ["`coverage` in (0, 1], got 0"]),
        (["--share", "b=0.5"], ["shares of a, got one of b"]),
        (["--share", "a=0.5"], ["shares that sum to 1, got 0.5"]),
        (["--share", "a=0"], ["`share of a` in (0, 1], got 0"]),
    ],
)
def test_options_are_checked_before_any_file_is_read(options, words, recuse):
    one_line(recuse("mixture", "a=none.npz", *options), *words)


def test_a_risk_may_be_as_large_as_the_dearest_loss_whether_or_not_it_occurs(recuse, tmp_path):
    write_logits(tmp_path / "a.npz", Z, Z.argmax(axis=1))
    found = plain(recuse("mixture", "a=a.npz", "--risk", 3, "--cost-error", 4, "--json"))
    assert found["scores"]["msp"]["points"][0]["all"]["coverage"] == 1
    one_line(recuse("mixture", "a=a.npz", "--risk", 5, "--cost-error", 4), "in [0, 4]")


def test_small_counts_are_marked_and_the_mark_is_explained(recuse, tmp_path):
    write_logits(tmp_path / "a.npz", Z, Z.argmax(axis=1))
    for wrong, cell, told in ((9, "9*", True), (10, "10", False)):
        y = Z.argmax(axis=1)
        y[:wrong] = (y[:wrong] + 1) % 5
        write_logits(tmp_path / "b.npz", Z, y)
        rc, out, err = recuse("mixture", "b=b.npz", "--coverage", 1)
        assert (rc, err) == (0, "")
        row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["b"])
        assert row[5] == cell
        assert ("* Fewer than 10 errors" in out) == told


def test_outliers_alone_are_no_mixture(recuse, files):
    rc, out, err = recuse("mixture", "--ood", "odd=o.npz")
    assert (rc, out) == (2, "")
    assert "NAME=FILE" in err


def test_quiet_prints_nothing(recuse, files):
    assert recuse(*COMMAND, "--quiet") == (0, "", "")
