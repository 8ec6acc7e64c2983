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
    return of_page(models, prepare.best(models), {}, named=False)


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


def test_where_the_deployed_coverage_loses_both_coverages_are_named(found):
    m = found["smoothed"]
    swapped = replace(m, msp=m.confidence, confidence=m.msp)
    coverage = m.accepted / m.n
    before, after = (wrong_of_thousand(c, m.loss, coverage) for c in (swapped.msp, m.msp))
    assert before < after
    said = of(replace(found, models=(swapped,))).change
    assert "answers at 20 % coverage were wrong" in said
    assert f"; at the coverage deployed it was {before}, now {after}." in said


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


def test_a_model_that_was_named_beforehand_leads_the_page(tmp_path):
    models = {name: {"calibrate": splits(s)["calibrate"], "test": splits(s)["test"]}
              for s, name in enumerate(("a", "b"))}  # fmt: skip
    found = recuse.evaluate(models, target_risk=TARGET, progress=False)
    for named, other in ("ab", "ba"):
        report(found, tmp_path / "r.html", named=named)
        shown = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "cannot choose" not in shown
        assert "No model is recommended" not in shown
        assert "models, the one with" not in shown
        assert f"Deploy {named}: it answers" in shown
        assert f"Deploy {named}: accept a prediction when" in shown
        assert f"Deploy {other}" not in shown
    with pytest.raises(recuse.InputError, match="expected a model of a, b, got 'c'"):
        report(found, tmp_path / "r.html", named="c")


def test_a_score_that_accepts_less_is_not_called_worse():
    found = recuse.evaluate({"net": splits(0)["calibrate"]}, target_risk=TARGET, progress=False)
    assert found["net"].tuned.outcome == "fixed"
    said = of(found).change
    assert said == (
        "Ranked by MSP, which was fixed beforehand; logit_norm(p=4, center=true) does not accept "
        "more."
    )


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
    assert "as label smoothing leaves them" in headline([first], first, certain).change
    assert "label smoothing" not in headline([first], first, replace(smoothing, low=0.0)).change


SITES = np.where(np.arange(600) % 3 == 0, "south", "north")


def held(seed, **more):
    z, y = splits(seed, damage=20.0)["test"]
    return recuse.io.HeldOut(z, y, subgroups={"site": SITES}, **more)


def deployed(rejector, file, **options):
    return recuse.evaluate({"net": file}, rejector=rejector, progress=False, **options)


def test_a_given_rejector_is_measured_and_nothing_is_fitted(tmp_path):
    fitted = recuse.fit(held(0), target_risk=0.3)
    new = held(1)
    found, decided = deployed(fitted, new), fitted.predict(new)
    m = found["net"]
    assert m.rejector is fitted
    assert m.tested
    assert found.target_risk == 0.3
    assert m.accepted == decided.accept.sum()
    assert m.errors == (decided.accept & new.loss.astype(bool)).sum()
    assert "nothing of this page chose it" in report_of(found, new, tmp_path)
    assert of(found).figures[2].value == "≤ 30 %"


def report_of(found, file, tmp_path, **options):
    more = details(found, {"net": file}, **options)
    report(found, tmp_path / "r.html", details=more)
    return (tmp_path / "r.html").read_text()


def test_rows_of_the_fit_are_no_test_of_it():
    rows = held(0)
    m = deployed(recuse.fit(rows, target_risk=0.3), rows)["net"]
    assert not m.tested
    assert of(deployed(m.rejector, rows)).figures[1].value == "not measured"


def test_the_headline_of_a_rejector_with_subgroups_is_theirs(tmp_path):
    fitted = recuse.fit(held(0), target_risk=0.3, subgroups="site")
    new = held(1)
    found = deployed(fitted, new, by="site")
    said, accept = of(found), fitted.predict(new, "site").accept
    assert said.figures == ()
    for name, cases, answered, wrong, limit in said.each.rows:
        own = name == SITES
        assert cases == str(own.sum())
        assert answered == f"{100 * accept[own].mean():.1f} %"
        rate = 100 * new.loss[own & accept].mean()
        assert wrong == (f"{rate:.1f} %" if rate >= 10 else f"{rate:.2f} %")
        assert limit == "≤ 30 %"
        assert f"{answered} of {name}" in said.verdict
    assert "reaches the threshold of its subgroup" in report_of(found, new, tmp_path)


def test_the_headline_of_targets_by_class_names_what_it_calls_so(tmp_path):
    rng = np.random.default_rng(0)

    def draw(n):
        y = rng.integers(0, 2, n)
        z = np.stack([np.zeros(n), (2 * y - 1) * rng.gamma(2, 2, n) + rng.normal(size=n)], axis=1)
        return recuse.io.HeldOut(z.astype(np.float32), y, class_names=("healthy", "sick"))

    new = draw(1000)
    fitted = recuse.fit(draw(1000), target_risk={"sick": 0.1, "healthy": 0.05})
    found = deployed(fitted, new)
    said = of(found)
    assert [row[0] for row in said.each.rows] == ["healthy", "sick"]
    assert [row[-1] for row in said.each.rows] == ["≤ 5 %", "≤ 10 %"]
    assert "of what it calls sick" in said.verdict
    assert "<span>sick</span>" in report_of(found, new, tmp_path)  # its own class names


def test_a_rejector_is_refused_where_it_cannot_be_shown():
    rows = held(0)
    fitted = recuse.fit(rows, target_risk=0.3)
    with pytest.raises(recuse.InputError, match="expected one model beside a rejector, got 2"):
        recuse.evaluate({"a": rows, "b": rows}, rejector=fitted, progress=False)
    covering = recuse.fit(rows, coverage=0.5)
    with pytest.raises(recuse.InputError, match="a guaranteed risk, got one with a coverage"):
        deployed(covering, rows)
    by_site = recuse.fit(rows, target_risk=0.3, subgroups="site")
    with pytest.raises(recuse.InputError, match="expected `subgroups`"):
        deployed(by_site, rows)


def test_a_file_is_measured_with_each_id_once():
    rows = held(0)
    fitted = recuse.fit(rows, target_risk=0.3)
    again = replace(held(1), ids=np.arange(600) // 3)
    with pytest.raises(recuse.InputError, match="repeated"):
        deployed(fitted, again)
    assert deployed(fitted, again, repeated_ids="keep_one")["net"].n == 600


def test_a_file_of_other_classes_or_a_column_beside_no_rejector_is_refused():
    rows = held(0, class_names=tuple("abcde"))
    fitted = recuse.fit(rows, target_risk=0.3)
    z, y = rows.logits[:, :3], np.minimum(rows.labels, 2)
    other = recuse.io.HeldOut(z, y, class_names=tuple("abc"))
    with pytest.raises(recuse.InputError, match="expected logits of 5 classes, as fitted, got 3"):
        deployed(fitted, other)
    with pytest.raises(recuse.InputError, match="expected `by` beside a rejector"):
        recuse.evaluate({"net": rows}, by="site", progress=False)
