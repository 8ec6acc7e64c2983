"""The first screen of the report says what the library found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

import recuse
from recuse.present.headline import headline, title
from recuse.reports import details, prepare, report
from recuse.reports.page import headline as of_page
from reference_report import outcome, splits

TARGET = 0.2


@pytest.fixture(scope="module")
def found():
    models = {"plain": splits(0), "smoothed": splits(1, damage=20.0)}
    return recuse.evaluate(models, target_risk=TARGET, progress=False)


def of(evaluation):
    models = prepare.prepare(evaluation)
    return of_page(models, prepare.best(models), {})


def wrong_of_thousand(confidence, loss, coverage):
    """Sort, and count the errors among the first that reach the coverage."""
    order = np.argsort(-confidence, kind="stable")
    k = 1
    while k / len(order) < coverage:
        k += 1
    while k < len(order) and confidence[order[k]] == confidence[order[k - 1]]:
        k += 1
    return round(1000 * sum(loss[i] for i in order[:k]) / k)


def test_three_figures_of_the_model_to_deploy(found):
    said, best = of(found), prepare.best(prepare.prepare(found)).result
    accepted, errors = outcome(best.confidence, best.loss, best.selection.threshold)
    answered, wrong, limit = said.figures
    assert said.good
    assert answered.value == f"{100 * accepted / best.n:.1f} %"
    assert wrong.value == f"{100 * errors / accepted:.1f} %"
    assert wrong.always == f"{100 * best.loss.mean():.1f} %"
    assert limit.value == "≤ 20 %"
    assert "95 % confidence" in limit.label
    assert [row[0] for row in said.others.rows] == [m.name for m in found.models if m is not best]


def test_what_was_wrong_before_is_counted_at_the_coverage_deployed(found):
    m = found["smoothed"]
    assert m.repaired
    said = of(replace(found, models=(m,)))
    coverage = m.accepted / m.n
    before, after = (wrong_of_thousand(c, m.loss, coverage) for c in (m.msp, m.confidence))
    assert before > after
    place = "1,000 answers at the same coverage"
    assert f"Before the repair {before} of {place} were wrong, now {after}." in said.change


def test_where_the_deployed_coverage_gains_nothing_both_coverages_are_named(found):
    m = found["smoothed"]
    everything = replace(m.selection, threshold=float(m.confidence.min()))
    whole = replace(m, selection=everything, accepted=m.n, errors=int(m.loss.sum()))
    said = of(replace(found, models=(whole,)))
    before, after = (wrong_of_thousand(c, m.loss, 0.2) for c in (m.msp, m.confidence))
    same = round(1000 * m.loss.mean())
    assert f"Before the repair {before} of 1,000 answers at 20 % coverage were wrong" in said.change
    assert f"now {after}; at the coverage deployed it is {same} either way" in said.change


def test_a_model_that_needs_no_repair_says_so(found):
    m = found["plain"]
    kept = replace(m, tuned=replace(m.tuned, score=m.tuned.baseline))
    if kept.repaired:
        pytest.skip("the tuning split repaired it")
    said = of(replace(found, models=(kept,)))
    assert said.change == "No repair: no score that was tried ranks clearly better than MSP."


def test_without_a_threshold_the_figures_are_what_would_be_feasible():
    found = recuse.evaluate({"net": splits(0)}, target_risk=0.001, progress=False)
    said, m = of(found), found["net"]
    assert not said.good
    assert said.verdict.startswith("Do not deploy net yet: no threshold guarantees")
    assert "at most 0.1 %" in said.verdict
    shown = " ".join(f.label for f in said.figures)
    assert ("smallest error rate" in shown) == (m.selection.smallest_target is not None)
    assert ("would be enough" in shown) == (m.selection.rows_needed is not None)
    assert said.figures[-1].value == f"{100 * m.loss.mean():.1f} %"


def test_without_a_test_part_nothing_is_called_measured():
    tune, calibrate, test = splits(0).values()
    rows = tuple(np.concatenate(columns) for columns in zip(tune, calibrate, test))
    found = recuse.evaluate({"net": rows}, target_risk=TARGET, progress=False)
    wrong = of(found).figures[1]
    assert wrong.value == "not measured"
    assert "all rows calibrate" in wrong.label
    assert "underestimate" in wrong.label


def test_rows_that_all_calibrate_choose_no_model():
    models = {name: splits(seed)["test"] for seed, name in enumerate("ab")}
    found = recuse.evaluate(models, target_risk=TARGET, progress=False)
    said = of(found)
    assert "cannot choose between the models" in said.verdict
    assert said.figures == ()
    assert [row[0] for row in said.others.rows] == ["a", "b"]
    assert {row[2] for row in said.others.rows} == {"not measured"}


def test_a_void_guarantee_is_nothing_to_deploy(found):
    m = found["plain"]
    selection = replace(m.selection, guarantee=replace(m.selection.guarantee, void=True))
    said = of(replace(found, models=(replace(m, selection=selection),)))
    assert not said.good
    assert said.verdict == "Do not deploy plain: its guarantee is void."
    assert said.figures[2].value == "none"


def test_the_title_names_models_and_data(found, tmp_path):
    assert title(list(found.models)) == "plain and smoothed on 600 test predictions of 5 classes"
    report(found, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<title>plain and smoothed on 600 test predictions of 5 classes</title>" in page


def test_a_smoothing_is_named_where_it_was_repaired(found):
    models = {"smoothed": splits(1, damage=20.0)}
    m = replace(found, models=(found["smoothed"],))
    smoothing = details(m, models)["smoothed"].smoothing
    first, *_ = prepare.prepare(m)
    assert smoothing is not None
    certain = replace(smoothing, value=0.2, low=0.1)
    assert "label smoothing of about 0.2" in headline([first], first, certain).change
    assert "label smoothing" not in headline([first], first, replace(smoothing, low=0.0)).change
