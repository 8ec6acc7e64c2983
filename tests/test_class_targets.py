"""A target risk for each predicted class, from the fit to the command line."""

import json

import numpy as np
import pytest

import recuse
from recuse import InfeasibleError, InputError, Rejector, write_logits
from recuse._internal.files import checksum
from recuse.cli import main
from recuse.io import HeldOut
from recuse.monitor import Monitor
from recuse.rejector import summarize
from recuse.selectors import select_by_subgroup

NAMES = ("healthy", "sick")
TARGETS = {"sick": 0.1, "healthy": 0.02}


def draw(n, seed, names=NAMES):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    z = np.c_[np.zeros(n), rng.normal(size=n) * 2 + np.where(labels, 2.0, -2.0)]
    return HeldOut(z, labels, class_names=names, name="cases")


FILE, TEST = draw(4000, 0), draw(4000, 1)
FITTED = recuse.fit(FILE, target_risk=TARGETS)


def test_each_predicted_class_is_selected_at_its_own_target():
    of = {rule.subgroup: rule for rule in FITTED.rules}
    assert [of[k].guarantee.target_risk for k in (0, 1)] == [0.02, 0.1]
    p = FITTED.predict(FILE)
    again = select_by_subgroup(
        p.confidence,
        p.prediction != FILE.labels,
        p.prediction,
        target_risk={0: 0.02, 1: 0.1, 2: 0.5},
        delta=0.05 * FITTED.guarantee.share,
    )
    assert {k: s.threshold for k, s in again.selections.items()} == {
        k: rule.threshold for k, rule in of.items()
    }
    assert FITTED.guarantee.target_risk == again.target_risk == 0.1  # that of all together


def test_equal_targets_are_those_of_thresholds_by_class():
    same = recuse.fit(FILE, target_risk=dict.fromkeys(NAMES, 0.05))
    assert same == recuse.fit(FILE, target_risk=0.05, subgroups="class")
    assert str(same) == str(recuse.fit(FILE, target_risk=0.05, subgroups="class"))


def test_indices_and_two_files_are_taken_too():
    assert recuse.fit(FILE, target_risk={1: 0.1, "0": 0.02}).rules == FITTED.rules
    two = recuse.fit(draw(4000, 2), FILE, target_risk=TARGETS, learned=False)
    assert [rule.guarantee.target_risk for rule in two.rules] == [0.02, 0.1]


def test_numbers_of_numpy_are_taken_as_those_of_python():
    targets = {np.int64(1): np.float64(0.1), np.uint8(0): 0.02}
    assert recuse.fit(FILE, target_risk=targets) == FITTED


def test_a_class_that_is_never_predicted_keeps_its_target():
    z = np.c_[FILE.logits, FILE.logits.min(axis=1) - 3]
    found = recuse.fit(HeldOut(z, FILE.labels), target_risk={0: 0.02, 1: 0.1, 2: 0.3})
    assert found.rules[2].threshold == np.inf
    assert found.rules[2].guarantee.target_risk == 0.3
    assert found == Rejector.from_dict(found.to_dict())


def test_the_sentence_names_each_class_and_its_target():
    said = str(FITTED)
    assert "at most 2 % of accepted predictions are wrong in predicted class healthy" in said
    assert "at most 10 % in sick, of those that have a threshold (2 of 2;" in said


def test_a_rejector_is_read_back_and_changed_ones_are_refused(tmp_path):
    FITTED.save(tmp_path / "r.json")
    assert Rejector.load(tmp_path / "r.json") == FITTED
    data = FITTED.to_dict()
    data["rules"][1]["guarantee"]["target_risk"] = 0.001
    with pytest.raises(InputError, match="its counts do not support its guarantee"):
        Rejector.from_dict(_signed(data))


def test_subgroups_of_a_column_have_one_target():
    site = np.where(np.arange(4000) % 2, "a", "b")
    data = recuse.fit(FILE, target_risk=0.1, subgroups=site).to_dict()
    data["rules"][1]["guarantee"]["target_risk"] = 0.2
    with pytest.raises(InputError, match="expected rules of one target"):
        Rejector.from_dict(_signed(data))


def test_a_summary_holds_each_class_against_its_own_target():
    odd = HeldOut(TEST.logits, np.where(TEST.logits[:, 1] > 0, 1 - TEST.labels, TEST.labels))
    found = summarize(odd, FITTED.predict(TEST), FITTED)
    assert found.above == [1]
    between = np.random.default_rng(0).random(4000) < 0.05
    labels = np.where(TEST.logits[:, 1] > 0, ~between, between).astype(int)
    assert summarize(HeldOut(TEST.logits, labels), FITTED.predict(TEST), FITTED).above == [0]


def test_the_monitor_tests_the_largest_target():
    assert Monitor(FITTED).verdict.target_risk == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_risk": {"sick": 0.1}}, "2 predicted classes, got none for healthy"),
        ({"target_risk": {"ill": 0.1, 0: 0.1}}, "of classes, healthy and sick, got 'ill'"),
        ({"target_risk": {"sick": 0.1, 1: 0.1}}, "each class once in `target_risk`, got 1 twice"),
        ({"target_risk": {"sick": 1.1, 0: 0.1}}, "`target_risk`"),
        ({"target_risk": {}}, "got none for healthy and sick"),
        ({"target_risk": {True: 0.1}}, "got True"),
        ({"target_risk": {np.True_: 0.1}}, "got np.True_"),
        ({"target_risk": {np.int64(2): 0.1}}, r"got np.int64\(2\)"),
        ({"target_risk": TARGETS, "subgroups": [0] * 4000}, "all subgroups of a column"),
        ({"target_risk": TARGETS, "objective": "coverage"}, "aurc or augrc with a target risk for"),
    ],
)
def test_targets_that_name_no_or_not_all_classes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        recuse.fit(FILE, **options)


def test_an_infeasible_fit_names_classes():
    with pytest.raises(InfeasibleError, match="Class healthy needs least") as error:
        recuse.fit(draw(200, 0), target_risk={"sick": 0.001, "healthy": 0.0001})
    assert "Class sick needs most" in str(error.value)


def test_targets_of_subgroups_are_for_each_of_them():
    with pytest.raises(InputError, match="for each subgroup, got none for 'b'"):
        select_by_subgroup([0.5, 0.2], [0, 0], ["a", "b"], target_risk={"a": 0.1})


def test_the_command_line_takes_and_shows_targets_of_classes(tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["recuse", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, " ".join((said.out + said.err).split())

    monkeypatch.chdir(tmp_path)
    for path, file in (("cases.npz", FILE), ("new.npz", TEST)):
        write_logits(path, file)
    code, said = run("fit", "cases.npz", "--target-risk", "sick=0.1, healthy=0.02")
    assert not code
    assert "predicted class healthy, at most 10 % in sick" in said
    assert Rejector.load("rejector.json").rules == FITTED.rules
    code, said = run("predict", "rejector.json", "new.npz", "--out", "p.csv")
    assert "above the guarantee of its class (2 % of healthy and 10 % of sick): none" in said
    for text in ("sick=a,healthy=0.1", "sick=0.1,0.2", "=0.1", "sick=0.1,sick=0.1"):
        code, said = run("fit", "cases.npz", "--target-risk", text, "--force")
        assert code == 2
        assert "expected --target-risk such as sick=0.02,healthy=0.01" in said


def _signed(data):
    body = json.loads(json.dumps({k: v for k, v in data.items() if k != "checksum"}))
    return {**body, "checksum": checksum(body)}
