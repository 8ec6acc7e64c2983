import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import vl_convert

import notation
import recuse
from learnable import learnable
from notation import words
from recuse import curves, intervals
from recuse.io import HeldOut
from recuse.reports import Table, details, explore, prepare, report, tables
from recuse.reports import page as page_module
from recuse.scores import FEATURES, Score
from recuse.tuning import Trial
from reference_report import HOSTILE, splits

# Means of the same float64 numbers, summed in another order.
FLOAT64 = 1e-12
LOADS = {"src", "srcset", "href", "action", "data", "poster", "background", "formaction"}


def lead_of(models):
    return words.lead(models, prepare.best(models))


class Page(HTMLParser):
    """The elements of a page, their attributes, and the text of scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.raw, self.text, self.inside = [], {}, "", None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag if tag in ("script", "style") else None
        if self.inside:
            self.raw.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside][-1] += data
        else:
            self.text += data

    def attributes(self, tag):
        return [a for t, a in self.tags if t == tag]

    @property
    def data(self):
        return json.loads(self.raw["script"][0])


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def evaluation():
    models = {"plain": splits(0), HOSTILE: splits(1, damage=20.0)}
    return recuse.evaluate(models, target_risk=0.2)


@pytest.fixture(scope="module")
def html(evaluation, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(evaluation, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_evaluation_of_these_tests_holds_a_repaired_and_an_unrepaired_model(evaluation):
    assert [m.repaired for m in evaluation.models] == [False, True]
    assert all(m.selection.feasible for m in evaluation.models)


def test_the_page_contains_the_numbers_of_the_evaluation(evaluation, page):
    for m in evaluation.models:
        expected = [
            notation.percent(m.accuracy),
            notation.area_with_error(m.before.aurc, m.before.aurc_se),
            notation.percent(m.before.risk_at_coverage[0.2]),
            notation.percent(m.ece),
            notation.percent(m.accepted / m.n),
            notation.percent(m.errors / m.accepted),
            notation.prose(str(m.selection)),
            *m.digests.values(),
        ]
        if m.repaired:
            expected += [
                notation.area_with_error(m.after.aurc, m.after.aurc_se),
                notation.area(m.repair.difference),
                notation.interval(m.repair),
                notation.p_value(m.repair.p_value),
                notation.percent(m.after.risk_at_coverage[0.2]),
            ]
        for text in expected:
            assert text in page.text
        reached = curves.coverage_at_risk(m.confidence, m.loss, evaluation.target_risk)
        assert notation.percent(reached) in page.text


def test_the_same_evaluation_gives_the_same_bytes(evaluation, html, tmp_path):
    report(evaluation, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_a_hostile_name_stays_text_everywhere(evaluation, page, tmp_path):
    assert len(page.attributes("script")) == 3
    assert HOSTILE in page.text
    assert HOSTILE in {part["fixed"]["model"] for part in page.data["datasets"]["curves"]}
    table = Table(HOSTILE, (HOSTILE, HOSTILE), [(HOSTILE, HOSTILE)])
    report(evaluation, tmp_path / "r.html", title=HOSTILE, lead=[HOSTILE], tables=[table])
    again = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(again.attributes("script")) == 3
    names = [a.get("aria-label") for a in again.attributes("div")]
    assert HOSTILE in names


def test_nothing_on_the_page_loads_anything(page):
    for tag, attributes in page.tags:
        assert not LOADS & set(attributes), tag
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
    styles = "".join(page.raw["style"]) + "".join(a.get("style", "") for _, a in page.tags)
    assert not re.search(r"url\(|@import|https?:", styles)
    assert "http" not in json.dumps(page.data)


def test_only_the_two_scripts_of_the_page_may_run(page):
    policy = next(
        a["content"]
        for a in page.attributes("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = page.raw["script"][1:]
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{d}'" for d in digests)
    assert page.attributes("script")[0] == {"type": "application/json", "id": "report-data"}


def test_drawn_curves_are_points_of_the_exact_curves(evaluation, page):
    parts = iter(page.data["datasets"]["curves"])
    for m in evaluation.models:
        for confidence in (m.msp, m.confidence)[: 1 + m.repaired]:
            exact = curves.risk_coverage(confidence, m.loss)
            drawn = next(parts)["columns"]
            at = np.searchsorted(exact.coverage, drawn["coverage"])
            for name in ("coverage", "risk", "threshold"):
                assert drawn[name] == getattr(exact, name)[at].tolist()
            assert at[0] == 0
            assert at[-1] == len(exact.coverage) - 1


def test_the_marked_point_is_what_the_threshold_does_on_the_test_split(evaluation, page):
    for m, part in zip(evaluation.models, page.data["datasets"]["fitted"]):
        accept = m.confidence >= np.float32(m.selection.threshold)
        assert part["columns"]["coverage"] == [accept.mean()]
        assert part["columns"]["risk"] == [m.loss[accept].mean()]


def test_every_chart_has_its_element_and_every_data_set_its_columns(page):
    ids = {a.get("id") for a in page.attributes("div")}
    assert set(page.data["charts"]) <= ids
    for parts in page.data["datasets"].values():
        for part in parts:
            assert len({len(column) for column in part["columns"].values()}) == 1


def test_every_channel_of_a_chart_is_a_column_of_its_data(page):
    columns = {
        name: set().union(*({*part["fixed"], *part["columns"]} for part in parts))
        for name, parts in page.data["datasets"].items()
    }
    columns["now"] = columns["limits"] = {*columns["curves"], "upper"}  # of the sliders
    for chart in page.data["charts"].values():
        assert vl_convert.vegalite_to_vega(chart)["marks"]
        for layer in chart["layer"]:
            channels = [c for name, c in layer["encoding"].items() if name != "tooltip"]
            channels += layer["encoding"].get("tooltip", [])
            fields = {channel["field"] for channel in channels if "field" in channel}
            assert fields <= columns[layer["data"]["name"]]


def test_an_infeasible_model_reads_right(tmp_path):
    evaluation = recuse.evaluate({"plain": splits(0)}, target_risk=0.001)
    assert not evaluation.models[0].selection.feasible
    report(evaluation, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No threshold for plain guarantees a risk of 0.1\u00a0%" in page.text
    assert notation.prose(evaluation.models[0].selection.reason) in page.text
    assert page.data["datasets"]["fitted"] == []
    for phrase in ("Deploy plain", "Accept when", "fitted threshold", "∞", "inf", "nan"):
        assert phrase not in page.text.replace("Infeasible", "").replace("influences", "")


def test_a_repair_that_the_test_split_does_not_confirm_is_not_praised(evaluation):
    model = prepare.prepare(evaluation)[1]
    assert "lets more errors through" in words.naive(model)
    weak = replace(model.result.gain, p_value=0.4)
    said = words.naive(model._replace(result=replace(model.result, gain=weak)))
    assert "does not confirm the gain" in said
    worse = replace(model.result.gain, difference=0.01, p_value=0.001)
    said = words.naive(model._replace(result=replace(model.result, gain=worse)))
    assert "contradicts the gain" in said


# The learned score


@pytest.fixture(scope="module")
def informed():
    """A model for which the learned score is chosen, under a name that would run."""
    rows = {name: learnable(1500, s) for s, name in enumerate(("tune", "calibrate", "test"))}
    return recuse.evaluate({HOSTILE: rows}, target_risk=0.2)


@pytest.fixture(scope="module")
def informed_page(informed, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "learned.html"
    report(informed, path)
    return Page(path.read_text(encoding="utf-8"))


def test_a_learned_score_is_explained_with_what_it_gained(informed, informed_page):
    m = informed.models[0]
    assert m.tuned.score.name == "learned"
    said = words.explained(m)
    assert said in informed_page.text
    (trial,) = m.tuned.trials
    size = f"{notation.area(trial.gain)} ± {notation.area(trial.se)}"
    assert f"the learned score reduces AURC ×1000 by {size}" in said
    own = m.tuned.score.params["class_intercepts"]
    shown = f"({notation.logit(min(own))} to {notation.logit(max(own))})"
    assert f"11 features of the logits and by the predicted class {shown}, shrunk" in said
    for number in (m.tuned.score.params["slope"], abs(m.tuned.score.params["intercept"])):
        assert notation.logit(number) in said


def test_the_weights_of_a_learned_score_stand_in_a_table_the_largest_first(informed, informed_page):
    m = informed.models[0]
    left = dict(zip(FEATURES, m.tuned.score.params["weights"]))
    for name, shown in tables.weight_table(m).rows:
        assert abs(left[name]) == max(map(abs, left.values()))
        shown = notation.prose(shown)
        assert shown == notation.logit(left.pop(name))
        assert f"{name}{shown}" in informed_page.text  # neighbouring cells
    assert not left
    spread = m.tuned.score.params["slope"] * m.tuned.score.params["scale"][0]
    assert f"standard deviation of MSP adds {notation.logit(spread)}." in informed_page.text


def test_the_threshold_of_a_learned_score_is_shown_as_a_probability(informed, informed_page):
    m = informed.models[0]
    probability = 1 / (1 + np.exp(-m.selection.threshold))
    rule = (
        f"the learned probability of being right ≥ {notation.number(probability)} "
        f"(log-odds {notation.number(m.selection.threshold)})"
    )
    assert informed_page.text.count(rule) == 2  # in the lead and on the card
    accept = m.confidence >= np.float32(m.selection.threshold)
    assert (m.accepted, m.errors) == (accept.sum(), m.loss[accept].sum())


def test_a_page_with_a_learned_score_is_as_closed_as_any(informed_page):
    test_nothing_on_the_page_loads_anything(informed_page)
    test_only_the_two_scripts_of_the_page_may_run(informed_page)
    assert len(informed_page.attributes("script")) == 3
    assert informed_page.text.count(HOSTILE) > 3


def test_where_no_learned_score_was_chosen_none_is_explained(evaluation, tmp_path):
    plain = replace(evaluation, models=evaluation.models[:1])
    report(plain, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "learned" in {trial.family for trial in plain.models[0].tuned.trials}
    assert "learned" not in {a.get("aria-labelledby") for a in page.attributes("section")}
    assert "learned probability" not in page.text


def test_a_norm_keeps_its_threshold_in_its_own_unit(evaluation):
    m = evaluation.models[1]
    norm = replace(m, tuned=replace(m.tuned, score=Score("logit_norm", {"p": 3, "center": True})))
    threshold = notation.number(m.selection.threshold)
    assert words.rule(norm) == f"logit_norm(p=3, center=true) ≥ {threshold}"


def with_objective(tuned, objective):
    return replace(tuned, facts=tuned.facts._replace(objective=objective))


def test_gains_are_told_as_they_are(informed):
    m = informed.models[0]

    def said(*trials, objective="aurc"):
        tuned = with_objective(replace(m.tuned, trials=trials), objective)
        return words.explained(replace(m, tuned=tuned))

    learned = Trial("learned", 0.01, 0.001, 0.001)
    assert "norms" not in said(learned)
    unsure = said(learned, Trial("candidates", 0.002, 0.005, 0.001))
    assert "reduces AURC ×1000 by 2.0 ± 5.0, less than its standard error" in unsure
    worse = said(learned, Trial("candidates", -0.002, 0.005, 0.001))
    assert "temperatures increases AURC ×1000 by 2.0 ± 5.0." in worse
    points = said(Trial("learned", 0.034, np.nan, 0.01), objective="coverage")
    assert "increases coverage at risk ≤ 20\u00a0% by 3.4 ± 1.0 points." in points


# Other objectives


@pytest.mark.parametrize("objective", ["augrc", "coverage"])
def test_the_gain_is_of_the_objective_and_of_the_test_split(objective):
    rows = {name: learnable(1500, s) for s, name in enumerate(("tune", "calibrate", "test"))}
    found = recuse.evaluate({"a": rows, "b": rows}, target_risk=0.2, objective=objective)
    m, model = found.models[0], prepare.prepare(found)[0]
    measure = intervals.AUGRC if objective == "augrc" else intervals.coverage_at(0.2)
    assert m.tuned.objective == objective
    assert m.gain == intervals.compare(m.confidence, m.loss, m.msp, m.loss, measure)
    assert m.repair == intervals.compare(m.confidence, m.loss, m.msp, m.loss)
    lead, _, naive, *_ = lead_of(prepare.prepare(found))
    if objective == "augrc":
        assert "the smallest AUGRC on the tuning split" in lead
        before, after = map(notation.area, (m.before.augrc, m.after.augrc))
        assert f"AUGRC ×1000 is {before} with MSP and {after} with the learned" in naive
    else:
        assert "the largest coverage at risk ≤ 20\u00a0% on the tuning split" in lead
        before, after = (curves.coverage_at_risk(c, m.loss, 0.2) for c in (m.msp, m.confidence))
        assert f"is {notation.percent(before)} with MSP and {notation.percent(after)}" in naive
        assert f"difference {notation.points(m.gain.difference)} points [" in naive
    sign = 1 if objective == "coverage" else -1
    for difference, verdict in ((sign, "by MSP"), (-sign, "contradicts the gain")):
        gain = replace(m.gain, difference=difference * 0.1, p_value=0.001)
        assert verdict in words.naive(model._replace(result=replace(m, gain=gain)))


def test_a_gain_without_a_standard_error_is_neither_confirmed_nor_contradicted(informed):
    m = informed.models[0]
    gain = intervals.Comparison(0.5, np.nan, np.nan, np.nan, np.nan)
    tuned = with_objective(m.tuned, "coverage")
    model = prepare.prepare(informed)[0]._replace(result=replace(m, gain=gain, tuned=tuned))
    said = words.naive(model)
    assert "the gain has no standard error: coverage at risk" in said
    assert said.endswith("(difference 50.0 points).")


def test_the_model_with_the_best_objective_leads_whichever_way_it_points(informed):
    m = informed.models[0]

    def named(name, value, objective):
        tuned = with_objective(replace(m.tuned, table=((m.tuned.score, value),)), objective)
        return prepare.prepare(informed)[0]._replace(result=replace(m, name=name, tuned=tuned))

    for objective, first in (("aurc", "small"), ("augrc", "small"), ("coverage", "large")):
        models = (named("large", 0.7, objective), named("small", 0.3, objective))
        assert lead_of(models)[0].startswith(f"Deploy {first} ")


def test_a_score_without_an_alternative_is_said_so(evaluation):
    model = prepare.prepare(evaluation)[0]
    tuned = model.result.tuned
    alone = tuned.facts._replace(outcome="probabilities", alternative=None, gain=None, gain_se=None)
    m = replace(model.result, tuned=replace(tuned, facts=alone))
    said = words.naive(model._replace(result=m))
    assert (
        said == f"{m.name} is ranked by MSP: other scores need logits, and these are probabilities."
    )


def test_a_kept_msp_has_no_fingerprint(evaluation):
    model = prepare.prepare(evaluation)[0]
    assert "This is the fingerprint" not in words.reading(model.fingerprint, model.result)


@pytest.mark.parametrize("damage", [0.0, 20.0])
def test_a_page_of_one_file_and_a_test_file_says_what_each_does(tmp_path, damage):
    models = {"net": {name: splits(1, damage=damage)[name] for name in ("calibrate", "test")}}
    found = recuse.evaluate(models, target_risk=0.2)
    report(found, tmp_path / "r.html", details=details(found, models))
    said = Page((tmp_path / "r.html").read_text(encoding="utf-8")).text.replace("\u00a0", " ")
    n = found["net"].sizes["calibrate"]
    assert f"All {n} rows choose the threshold; none is set aside to tune a score. The" in said
    assert "The outcome is on the test split." in said
    for untrue in ("to test", "tuning split", "standard error: no damage is claimed"):
        assert untrue not in said
    model = prepare.prepare(found)[0]
    larger = model.fingerprint._replace(excess=0.1, larger=len(model.fingerprint.wrong.msp))
    m = replace(model.result, tuned=fixed_score(model.result.tuned, "fixed"))
    assert words.reading(larger, m).endswith("better: no damage is claimed.")
    assert "standard error" not in words.reading(larger, m)


def fixed_score(tuned, outcome):
    """The same, as if it were fixed beforehand, and kept MSP or not."""
    score = tuned.baseline if outcome == "fixed" else tuned.score
    return replace(tuned, score=score, facts=tuned.facts._replace(outcome=outcome))


def test_two_classes_have_no_fingerprint_at_all(tmp_path):
    rng = np.random.default_rng(0)

    def draw():
        z = rng.normal(size=(800, 2)).astype(np.float32)
        return z, (rng.random(800) > 1 / (1 + np.exp(z[:, 1] - z[:, 0]))).astype(int)

    models = {"net": {name: draw() for name in ("tune", "calibrate", "test")}}
    found = recuse.evaluate(models, target_risk=0.2)
    report(found, tmp_path / "r.html", details=details(found, models))
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "With two classes the centred maximum logit is half the log-odds of MSP" in page.text
    assert "fingerprint of label smoothing" not in page.text
    assert "dotted line)" not in page.text
    assert "fingerprint-0" not in page.data["charts"]
    assert "fingerprint-0" not in {a.get("id") for a in page.attributes("div")}
    m = found.models[0]
    np.testing.assert_allclose(m.max_logit, abs(m.msp) / 2, rtol=1e-5, atol=1e-5)


def test_the_fingerprint_is_the_excess_of_wrong_predictions_of_equal_msp(evaluation):
    m = evaluation.models[0]
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, size=20_000).astype(np.float32)
    wrong = rng.uniform(size=x.size) > 1 / (1 + np.exp(-x))
    noise = rng.normal(0, 0.1, size=x.size)
    for excess in (0.3, 0.0, -0.3):
        y = (2 * x + excess * wrong + noise).astype(np.float32)
        f = prepare.fingerprint(replace(m, msp=x, max_logit=y, loss=wrong.astype(float)))
        assert f.excess == pytest.approx(excess, abs=0.02)
        said = words.reading(f, evaluation.models[1])  # a repaired one
        assert ("This is the fingerprint" in said) == (excess > 0.1)
    edges = np.linspace(*np.quantile(x, [0.005, 0.995]), prepare.BINS + 1)
    between = wrong & (x >= f.right.msp[0]) & (x <= f.right.msp[-1])
    rows = [between & (x >= low) & (x < high) for low, high in pairwise(edges)]
    kept = [y[r].astype(float).mean() for r in rows if r.sum() >= prepare.LEAST]
    np.testing.assert_allclose(f.wrong.mean, kept, rtol=FLOAT64)


@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_without_both_right_and_wrong_predictions_no_fingerprint_is_read(evaluation, loss):
    m = evaluation.models[0]
    f = prepare.fingerprint(replace(m, loss=np.full(m.n, loss)))
    assert words.reading(f, m).startswith("Too few")
    assert f.drawn == (loss == 0)


def test_names_of_either_direction_leave_their_sentence_alone(tmp_path):
    turned = {"net\u202e": splits(0), "net": splits(2), "شبكة": splits(1)}
    found = recuse.evaluate(turned, target_risk=0.2)
    classes = ["قط", "b\u2066", "c", "d", "e"]
    sites = {name: np.array(["x\u202d", "y"])[np.arange(600) % 2] for name in turned}
    more = details(found, turned, classes=classes, subgroups=sites)
    report(found, tmp_path / "r.html", details=more)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not {*"\u202d\u202e\u2066"} & {*html.split("<script>", 1)[0]}
    named = [curve["model"] for curve in page.data["explore"]["curves"]]
    assert {*named} == {"net[U+202E]", "net", "\u2068شبكة\u2069"}
    tables = page.data["explore"]["curves"][0]["tables"]
    assert tables[0]["names"][:2] == ["\u2068قط\u2069", "b[U+2066]"]
    assert tables[2]["names"] == ["x[U+202D]", "y"]


def test_curves_of_many_models_differ_in_colour_or_dash(evaluation):
    models = [m._replace(index=i) for i in range(21) for m in prepare.prepare(evaluation)[1:]]
    looks = [(prepare.colour(m.index), *prepare.dash(m, c)) for m in models for c in m.curves]
    assert len({*looks}) == len(looks) == 42


def test_a_guarantee_of_groups_says_so_wherever_it_is_made(tmp_path):
    grouped = {
        name: HeldOut(z, y, groups=np.arange(len(y)) // 2 + 1000 * i)
        for i, (name, (z, y)) in enumerate(splits(0).items())
    }
    models = {"net": grouped, "other": splits(1)}
    found = recuse.evaluate(models, target_risk=0.3)
    first, other = (words.whose(m) for m in found.models)
    assert (first, other) == (" (each group counts once)", "")
    report(found, tmp_path / "r.html", details=details(found, models))
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert f"no limit of this page is exceeded{first}" in page.text
    assert [c["whose"] for c in page.data["explore"]["curves"]] == [first, other]
    lead = lead_of(prepare.prepare(replace(found, models=found.models[:1])))
    assert f"of accepted predictions are wrong{first}. On the test split" in lead[1]


def test_without_its_script_the_page_shows_what_the_fitted_thresholds_do(tmp_path):
    models = {"plain": splits(0), "damaged": splits(1, damage=20.0)}
    found = recuse.evaluate(models, target_risk=0.2)
    more = details(found, models)
    sliders = explore.explore(prepare.prepare(found), more, 0.2, 0.05)
    for m, row in zip(found.models, tables.fitted_rows(sliders, limits=True), strict=True):
        band = more[m.name].after
        assert [*map(notation.prose, row)] == [
            f"{m.name}, {m.tuned.score if m.repaired else 'MSP'}",
            words.at_least(m.tuned.score, m.selection.threshold),
            notation.percent(m.accepted / m.n),
            notation.count(m.accepted),
            notation.count(m.n - m.accepted),
            notation.count(m.errors),
            notation.percent(m.errors / m.accepted),
            notation.upper(band.at(m.selection.threshold).upper),
            notation.percent((m.confidence >= np.float32(band.threshold_for(0.2))).mean()),
        ]
    assert [len(row) for row in tables.fitted_rows(sliders, limits=False)] == [7, 7]


def test_the_page_replaces_the_file_whole_or_not_at_all(evaluation, html, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr(page_module, "charts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            report(evaluation, path)
    assert path.read_text() == "before"
    report(evaluation, path)
    assert path.read_text(encoding="utf-8") == html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(recuse.InputError, match="got a folder"):
        report(evaluation, tmp_path)


def test_a_read_only_cache_costs_no_report(evaluation, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda snippet: "made('</script>')")
    report(evaluation, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.raw["script"][1] == "made('<\\/script>')"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.8314, "83.1 %"), (0.0532, "5.32 %"), (0.00252, "0.25 %")],
)
def test_rates_are_written_to_three_figures(value, text):
    assert notation.percent(value) == text.replace(" ", "\u00a0")
    assert notation.percent(float("nan")) == notation.UNDEFINED


def test_the_page_stays_small(html):
    assert len(html.encode()) < 1_300_000


def test_the_page_draws_the_predictions_that_it_counts(evaluation):
    """Right predictions point upwards, wrong ones downwards; bands are around their means."""
    models = prepare.prepare(evaluation)
    data = prepare.datasets(models, 0.2, {})
    for i, model in enumerate(models):
        right, wrong = data[f"histogram-{i}"]
        for part, kind, sign in ((right, "right", 1), (wrong, "wrong", -1)):
            assert part["fixed"]["kind"] == kind
            columns = part["columns"]
            assert columns["count"] == getattr(model.histogram, kind).tolist()
            assert columns["height"] == [sign * share for share in columns["share"]]
            assert sum(columns["share"]) == pytest.approx(1)
            assert all(a < b for a, b in zip(columns["start"], columns["end"]))
        for part, kind in zip(data[f"fingerprint-{i}"], ("right", "wrong"), strict=True):
            band, columns = getattr(model.fingerprint, kind), part["columns"]
            assert part["fixed"]["kind"] == kind
            assert columns["low"] == (band.excess - band.spread).tolist()
            assert columns["high"] == (band.excess + band.spread).tolist()
        (bins,) = data[f"reliability-{i}"]
        assert bins["columns"]["accuracy"] == model.reliability.accuracy.tolist()
        assert bins["columns"]["probability"] == model.reliability.probability.tolist()
    curves_of = [(model, curve) for model in models for curve in model.curves]
    for (model, curve), part in zip(curves_of, data["curves"], strict=True):
        assert part["fixed"]["model"] == model.result.name
        assert part["columns"]["risk"] == curve.points.risk.tolist()
        assert part["columns"]["coverage"] == curve.points.coverage.tolist()
