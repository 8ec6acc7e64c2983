"""The report as a person meets it: in a browser, moving the sliders."""

import re
from dataclasses import replace

import numpy as np
import pytest

import notation
import recuse
from notation import words
from recuse import curves
from recuse.reports import Table, details, explore, prepare, report
from recuse.tuning import MSP
from reference_report import HOSTILE, outcome, splits

TARGET = 0.2
MODELS = {"plain": splits(0), HOSTILE: splits(1, damage=20.0)}
CLASSES = [HOSTILE, "b", "c", "d", "e"]
MOVE = """([id, value]) => {
    const slider = document.getElementById(id);
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
}"""
CELLS = """(id) => [...document.getElementById(id).tBodies[0].rows]
    .map(row => [...row.cells].map(cell => cell.textContent))"""


@pytest.fixture(scope="module")
def evaluation():
    return recuse.evaluate(MODELS, target_risk=TARGET)


@pytest.fixture(scope="module")
def detail(evaluation):
    sites = {name: np.array(["north", "south"])[np.arange(600) % 2] for name in MODELS}
    return details(evaluation, MODELS, classes=CLASSES, subgroups=sites)


@pytest.fixture(scope="module")
def path(evaluation, detail, tmp_path_factory):
    written = tmp_path_factory.mktemp("page") / "report.html"
    report(evaluation, written, details=detail)
    return written


@pytest.fixture(scope="module")
def drawn(evaluation, detail):
    """Each curve's name, score, confidence, loss and limits, in the order of the page."""
    out = []
    for m in evaluation.models:
        d = detail[m.name]
        out.append((f"{m.name}, MSP", MSP, m.msp, m.loss, d.before))
        if m.repaired:
            score = m.tuned.score
            out.append((f"{m.name}, {score}", score, m.confidence, m.loss, d.after))
    return out


def figures(score, c, loss, band, threshold):
    """A row of the table, from the library's numbers."""
    accepted, errors = outcome(c, loss, threshold)
    point = band.at(threshold)
    return [
        words.at_least(score, threshold),
        notation.percent(accepted / c.size),
        notation.count(accepted),
        notation.count(c.size - accepted),
        notation.count(errors),
        notation.percent(errors / accepted) if accepted else notation.UNDEFINED,
        notation.upper(point.upper) if np.isfinite(point.threshold) else "none",
    ]


def test_moving_the_target_shows_the_librarys_coverage_risk_and_threshold(opened, path, drawn):
    with opened(path) as page:
        for place, target in enumerate(explore.targets(TARGET)):
            if place % 7 and target != TARGET:
                continue
            page.evaluate(MOVE, ["target", place])
            rows = page.evaluate(CELLS, "outcome")
            for (name, score, c, loss, band), row in zip(drawn, rows, strict=True):
                coverage = curves.coverage_at_risk(c, loss, target)
                assert row[:3:2] == [name, notation.percent(coverage)]
                whole = curves.risk_coverage(c, loss)
                if coverage:
                    at = whole.threshold[np.argmax(whole.coverage == coverage)]
                    shown = next(
                        t for t in np.r_[at, band.threshold] if row[1] == words.at_least(score, t)
                    )
                    assert row[1:8] == figures(score, c, loss, band, shown)
                    assert round(coverage * c.size) == outcome(c, loss, shown)[0]
                else:
                    assert row[1] == "none"
                kept = band.threshold_for(target)
                share = (c >= np.float32(kept)).mean()
                assert row[8] == (notation.percent(share) if np.isfinite(kept) else "none")


def test_every_stop_of_the_threshold_shows_exact_counts(opened, path, evaluation, detail, drawn):
    held = explore.explore(prepare.prepare(evaluation), detail, TARGET, 0.05)["curves"]
    with opened(path) as page:
        for i, (name, score, c, loss, band) in enumerate(drawn):
            page.select_option("#curve", str(i))
            for k, threshold in enumerate(held[i]["threshold"]):
                page.evaluate(MOVE, ["threshold", k])
                row = page.evaluate(CELLS, "outcome")[i]
                assert row[0] == name
                assert row[1:8] == figures(score, c, loss, band, threshold)


def test_the_table_of_the_accepted_follows_the_slider(opened, path, evaluation, detail):
    m, d = evaluation.models[0], detail["plain"]
    by = {
        "True class": (d.labels, dict(enumerate(CLASSES))),
        "Predicted class": (d.predicted, dict(enumerate(CLASSES))),
        "Subgroup": (d.subgroups, {"north": "north", "south": "south"}),
    }
    with opened(path) as page:
        page.select_option("#curve", "0")
        page.evaluate(MOVE, ["target", int(np.argmax(explore.targets(TARGET) == TARGET))])
        shown = page.evaluate(CELLS, "outcome")[0][1]
        whole = curves.risk_coverage(m.msp, m.loss)
        at = next(
            t for t in np.r_[whole.threshold, d.before.threshold] if words.at_least(MSP, t) == shown
        )
        for kind, (codes, names) in by.items():
            page.select_option("#kind", kind)
            rows = page.evaluate(CELLS, "who")
            assert [row[0] for row in rows] == [names[k] for k in np.unique(codes)]
            for row, k in zip(rows, np.unique(codes)):
                own = codes == k
                accepted, errors = outcome(m.msp[own], m.loss[own], at)
                assert row[1:] == [
                    notation.count(own.sum()),
                    notation.count(accepted),
                    notation.percent(accepted / own.sum()),
                    notation.count(errors),
                    notation.percent(errors / accepted) if accepted else notation.UNDEFINED,
                ]


def test_the_page_says_which_guarantee_holds_where(opened, path, evaluation, detail):
    with opened(path) as page:
        best = prepare.best(prepare.prepare(evaluation)).result
        fitted = words.at_least(best.tuned.score, best.selection.threshold)
        assert fitted in page.text_content("#said-now")  # it starts there
        assert "The slider is at this threshold." in page.text_content("#said-fitted")
        band = detail[best.name].after
        point = band.at(best.selection.threshold)
        said = page.text_content("#said-limit")
        assert words.at_least(best.tuned.score, point.threshold) in said
        assert f"at most {notation.upper(point.upper)}" in said
        page.focus("#threshold")
        page.keyboard.press("ArrowRight")
        assert "The sliders are elsewhere." in page.text_content("#said-fitted")
        assert "guarantees nothing" in page.text_content("#said-now")
        page.evaluate(MOVE, ["threshold", 0])
        if page.evaluate(CELLS, "outcome")[0][7] == "none":
            assert "No limit holds here" in page.text_content("#said-limit")


def test_the_keyboard_alone_moves_the_target(opened, path):
    with opened(path) as page:
        page.focus("#curve")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "target"
        before = page.text_content("#target-value")
        page.keyboard.press("ArrowLeft")
        after = page.text_content("#target-value")
        assert before == "20\u00a0%" != after
        assert page.get_attribute("#target", "aria-valuetext") == after
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "threshold"


def test_the_rings_stand_where_the_table_says(opened, path, drawn):
    place = int(np.argmax(explore.targets(TARGET) == TARGET))
    rings = """() => [...document.querySelectorAll('#curves-linear path[aria-label]')]
        .map(p => p.getAttribute('aria-label'))"""
    with opened(path) as page:
        page.evaluate(MOVE, ["target", place])
        said = " ".join(page.evaluate(rings))
        for _, _, c, loss, _ in drawn:
            coverage = curves.coverage_at_risk(c, loss, TARGET)
            assert f"coverage: {100 * coverage:.2f}%" in said


def test_nothing_leaves_the_page_and_nothing_complains(opened, path):
    with opened(path) as page:
        page.evaluate(MOVE, ["target", 3])
        page.evaluate(MOVE, ["threshold", 3])
        page.hover("#curves-linear svg")
        assert [url.split(":")[0] for url in page.requests] == ["file"]
        assert page.complaints == []


def test_a_hostile_name_stays_text(opened, path):
    with opened(path) as page:
        assert page.evaluate("document.scripts.length") == 3
        page.select_option("#kind", "Predicted class")
        assert page.evaluate(CELLS, "who")[0][0] == HOSTILE
        assert HOSTILE in page.text_content("#outcome")
        assert HOSTILE in page.text_content("#curve")
        assert page.complaints == []


def contrast(a, b):
    """WCAG's ratio of two colours, as "rgb(1, 2, 3)"."""

    def luminance(colour):
        parts = [int(x) / 255 for x in colour[4:-1].split(",")]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_and_can_be_read(opened, path, width, scheme):
    with opened(path, width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        for selector in ("body", ".note", ".status", "caption", "#outcome th", ".sentences p"):
            ink = page.evaluate("s => getComputedStyle(document.querySelector(s)).color", selector)
            assert contrast(ink, paper) >= 4.5, selector
        cut = """[...document.querySelectorAll('p, h1, h2, h3, figcaption, .legend li, .controls')]
            .filter(e => e.getBoundingClientRect().right > innerWidth).length"""
        assert page.evaluate(cut) == 0
        assert page.complaints == []


def test_print_hides_the_sliders_and_keeps_their_answer(opened, path):
    with opened(path) as page:
        page.emulate_media(media="print", color_scheme="dark")
        assert page.is_hidden("#target")
        assert page.is_visible("#outcome")
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )


def test_a_page_without_details_has_sliders_and_no_limits(opened, evaluation, tmp_path):
    report(evaluation, tmp_path / "r.html")
    with opened(tmp_path / "r.html") as page:
        page.evaluate(MOVE, ["target", 40])
        assert {len(row) for row in page.evaluate(CELLS, "outcome")} == {7}
        assert page.text_content("#said-limit") == ""
        assert page.query_selector("#who") is None
        assert page.complaints == []


def test_an_infeasible_model_starts_at_the_target(opened, tmp_path):
    models = {"plain": MODELS["plain"]}
    found = recuse.evaluate(models, target_risk=0.001)
    report(found, tmp_path / "r.html", details=details(found, models))
    with opened(tmp_path / "r.html") as page:
        assert page.text_content("#target-value") == "0.1\u00a0%"
        assert page.text_content("#said-fitted") == ""
        assert page.complaints == []


def test_a_void_guarantee_is_called_void_and_has_no_limit(opened, tmp_path):
    models = {"plain": MODELS["plain"]}
    found = recuse.evaluate(models, target_risk=TARGET)
    m = found.models[0]
    selection = replace(m.selection, guarantee=replace(m.selection.guarantee, void=True))
    void = replace(found, models=(replace(m, selection=selection),))
    report(void, tmp_path / "r.html", details=details(void, models))
    with opened(tmp_path / "r.html") as page:
        assert "Do not rely on a threshold" in page.text_content(".lead")
        assert page.text_content(".status") == "Guarantee void"
        assert "no guarantee: it is void" in page.text_content("#said-fitted")
        assert page.text_content("#said-limit") == ""
        assert {row[7] for row in page.evaluate(CELLS, "outcome")} == {"none"}
        assert page.complaints == []


def test_a_chart_is_one_picture_with_its_own_name(opened, path):
    with opened(path) as page:
        for chart in page.query_selector_all(".chart"):
            assert chart.get_attribute("role") == "img"
            assert chart.get_attribute("aria-label").endswith("are in the table below.")
            assert chart.get_attribute("aria-roledescription") is None
            assert chart.query_selector("svg").get_attribute("aria-hidden") == "true"


def over(paint, paper):
    """A colour that may be mixed and transparent, on paper, as "rgb(1, 2, 3)"."""
    if paint.startswith("rgb("):
        return paint
    scale = 255 if paint.startswith("color(") else 1
    *parts, opacity = [*map(float, re.findall(r"\d[\d.e-]*", paint)), 1.0][:4]
    ground = [int(x) for x in paper[4:-1].split(",")]
    mixed = [opacity * scale * p + (1 - opacity) * g for p, g in zip(parts, ground)]
    return f"rgb({', '.join(str(round(x)) for x in mixed)})"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_counts_can_be_read_on_every_tint_and_curves_on_the_paper(opened, path, scheme):
    tint = """([kind, share]) => {
        const cell = document.querySelector(".matrix td");
        cell.className = kind;
        cell.style.setProperty("--share", share);
        return [getComputedStyle(cell).backgroundColor, getComputedStyle(cell).color];
    }"""
    colour = """(name) => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color;
    }"""
    with opened(path, scheme=scheme) as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        for kind in ("right", "wrong", "abstain"):
            for share in np.linspace(0, 1, 11).tolist():
                ground, ink = page.evaluate(tint, [kind, share])
                assert contrast(over(ground, paper), ink) >= 4.5, (kind, share)
        for name in (*(f"--model-{i}" for i in range(7)), "--right", "--wrong"):
            assert contrast(page.evaluate(colour, name), paper) >= 3, name


LONG = ("m" * 120, "x" * 200)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A page whose names have no spaces."""
    models = {LONG[0]: splits(1, damage=20.0)}
    found = recuse.evaluate(models, target_risk=TARGET)
    classes = [LONG[1], "Donaudampfschifffahrtsgesellschaft", "c", "d", "e"]
    written = tmp_path_factory.mktemp("long") / "report.html"
    report(found, written, details=details(found, models, classes=classes))
    return written


@pytest.mark.parametrize("width", [380, 1400])
def test_a_name_without_spaces_breaks_its_own_cell_alone(opened, long, width):
    covered = """[...document.querySelectorAll("th, td")].filter(cell =>
        cell.clientWidth && !cell.closest("thead") && cell.scrollWidth > cell.clientWidth + 1
    ).length"""
    lost = """[...document.querySelectorAll(".scroll")].filter(e =>
        e.clientWidth && !e.querySelector(".matrix") && e.scrollWidth > e.clientWidth + 1
    ).map(e => e.getAttribute("aria-label"))"""
    broken = """[...document.querySelectorAll(".matrix td")].filter(cell => {
        const text = document.createRange();
        text.selectNodeContents(cell);
        return text.getClientRects().length > 1;
    }).length"""
    with opened(long, width=width) as page:
        assert page.evaluate(covered) == page.evaluate(broken) == 0
        if width > 380:
            assert page.evaluate(lost) == []
        assert page.get_attribute(".matrix thead th:nth-child(3)", "title") == LONG[1]
        assert page.complaints == []


def test_the_printed_matrix_covers_none_of_its_columns(opened, path):
    with opened(path) as page:
        page.emulate_media(media="print")
        columns = "getComputedStyle(document.querySelector('.grid.wide')).gridTemplateColumns"
        assert len(page.evaluate(columns).split()) == 1
    with opened(path, width=720) as page:  # of a sheet of A4
        page.emulate_media(media="print")
        wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > 721).length"
        assert page.evaluate(wide) == 0


def test_without_scripts_the_fitted_thresholds_stand_in_the_table(browser, path, drawn, evaluation):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(path.absolute().as_uri())
    rows = [
        row.locator("th, td").all_text_contents() for row in page.locator("#outcome tbody tr").all()
    ]
    fitted = [d for d in drawn if d[1] == evaluation[d[0].rsplit(", ", 1)[0]].tuned.score]
    for m, (name, score, c, loss, band), row in zip(evaluation.models, fitted, rows, strict=True):
        assert row[0] == name
        assert row[1:8] == figures(score, c, loss, band, m.selection.threshold)
    for selector in ("#target", "#curve", "#curves-linear", "#who"):
        assert page.locator(selector).is_hidden()
    note, curves = (page.locator(s).bounding_box() for s in ("noscript p", "#outcome"))
    assert note["y"] < curves["y"]
    context.close()


def few(wrong, n=200):
    """Splits in which so many of the first predictions are wrong."""
    out = {}
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
        out[name] = z, np.where(np.arange(n) < wrong, z.argmin(axis=1), z.argmax(axis=1))
    return out


@pytest.mark.parametrize("wrong", [0, 1, 200])
def test_a_chart_of_nothing_is_not_drawn(opened, tmp_path, wrong):
    models = {"net": few(wrong)}
    found = recuse.evaluate(models, target_risk=0.1)
    report(found, tmp_path / "r.html", details=details(found, models))
    with opened(tmp_path / "r.html") as page:
        said = page.text_content("section[aria-labelledby=maximum-logit]")
        assert "Too few right or wrong predictions" in said
        assert (page.query_selector("#fingerprint-0") is None) == (wrong == 200)
        assert page.complaints == []


def test_a_limit_that_says_nothing_is_no_guarantee(opened, tmp_path):
    models = {"net": splits(0)}
    found = recuse.evaluate(models, target_risk=0.001)
    more = details(found, models)
    report(found, tmp_path / "r.html", details=more)
    m, band = found.models[0], more["net"].before
    held = explore.explore(prepare.prepare(found), more, 0.001, 0.05)["curves"][0]
    seen = set()
    with opened(tmp_path / "r.html") as page:
        for k, threshold in enumerate(held["threshold"]):
            page.evaluate(MOVE, ["threshold", k])
            limit = band.at(threshold)
            idle = limit.upper >= m.loss.mean() and np.isfinite(limit.threshold)
            guaranteed = limit.upper < m.loss.mean()
            seen.add((idle, guaranteed))
            said = page.text_content("#said-limit")
            assert said.startswith("The calibration split limits nothing here") == idle
            assert said.startswith("Guarantee after looking") == guaranteed
            classes = page.get_attribute("#said-limit", "class")
            assert classes == ("guaranteed" if guaranteed else "described")
    assert {(True, False), (False, True)} <= seen


def test_the_panels_of_a_scene_are_stacked_on_a_phone(opened, tmp_path):
    models = {"net": splits(0)}
    found = recuse.evaluate(models, target_risk=TARGET)
    z = np.random.default_rng(0).normal(size=(1, 5, 6, 8)).astype(np.float16)
    held = {"logits": z, "labels": np.zeros((1, 6, 8), int), "item": [0]}
    np.savez(tmp_path / "s.npz", image=np.zeros((1, 12, 16, 3), np.uint8), **held)
    more = details(found, models, scenes={"net": tmp_path / "s.npz"})
    report(found, tmp_path / "r.html", details=more)
    for width, columns in ((380, 1), (1400, 3)):
        with opened(tmp_path / "r.html", width=width) as page:
            boxes = [image.bounding_box() for image in page.query_selector_all(".scene img")]
            assert len({box["x"] for box in boxes}) == columns
            assert min(box["width"] for box in boxes) > 300


def test_the_tables_of_models_lose_no_column_on_a_phone(opened, tmp_path):
    models = {"net": splits(0), "another": splits(0, damage=20.0)}
    found = recuse.evaluate(models, target_risk=TARGET)
    seeds = Table("Two seeds", ("model", "accuracy", "chosen score"), [("net", "90", "learned")])
    report(found, tmp_path / "r.html", details=details(found, models), tables=[seeds])
    with opened(tmp_path / "r.html", width=380) as page:
        shown = page.query_selector_all("section[aria-labelledby=models] .scroll")
        assert len(shown) == 3
        for region in shown:
            assert region.evaluate("x => x.scrollWidth <= x.clientWidth")
        cell = page.query_selector("td[data-label='chosen score']")
        assert cell.evaluate("x => getComputedStyle(x, '::before').content") == '"chosen score"'


COVERED = """() => [...document.querySelectorAll(".matrix tbody :is(td, th)")].filter(cell => {
    const box = cell.getBoundingClientRect();
    const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const inside = box.x >= 0 && box.right <= innerWidth && box.y >= 0 && box.bottom <= innerHeight;
    return inside && at !== null && at.closest("td, th") !== cell && cell.closest(".scroll")
        .getBoundingClientRect().right >= box.right;
}).length"""


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("width", [390, 1400])
def test_no_cell_of_the_matrix_is_covered(opened, tmp_path, classes, width):
    rng = np.random.default_rng(classes)
    models = {}
    for name in ("plain", "smoothed"):
        models[name] = {}
        for split in ("tune", "calibrate", "test"):
            labels = rng.integers(0, classes, 600)
            z = rng.normal(size=(600, classes)) + 3 * np.eye(classes)[labels]
            models[name][split] = z.astype(np.float32), labels
    found = recuse.evaluate(models, target_risk=TARGET)
    report(found, tmp_path / "r.html", details=details(found, models))
    with opened(tmp_path / "r.html", width=width) as page:
        matrices = page.query_selector_all(".matrix")
        assert len(matrices) == (2 if classes <= 10 else 0)
        for matrix in matrices:
            matrix.scroll_into_view_if_needed()
            assert page.evaluate(COVERED) == 0
            first = matrix.query_selector("tbody tr td")
            assert first.get_attribute("class") == "abstain"
            assert first.bounding_box()["x"] + first.bounding_box()["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width


SEEN = """(selector) => [...document.querySelectorAll(selector)].map(e => {
    const box = e.getBoundingClientRect();
    return [box.top, box.bottom, box.right];
})"""


@pytest.mark.parametrize("size", [(1400, 900), (390, 844)])
def test_the_first_screen_answers_without_scrolling(opened, path, evaluation, size):
    width, height = size
    best = prepare.best(prepare.prepare(evaluation)).result
    with opened(path, width=width, height=height, unfold=False) as page:
        for selector in (".verdict", ".figures dd", ".figures dt", ".change", "#headline svg"):
            for top, bottom, right in page.evaluate(SEEN, selector):
                assert 0 <= top < bottom <= height, selector
                assert right <= width, selector
        shown = [dd.text_content() for dd in page.query_selector_all(".figures dd:not(.always)")]
        assert shown == [
            notation.percent(best.accepted / best.n),
            notation.percent(best.errors / best.accepted),
            "\u2264 20\u00a0%",
        ]
        verdict = page.text_content(".verdict")
        assert verdict.startswith(f"Deploy {best.name}: it answers {shown[0]}")
        assert page.complaints == []


def test_a_phone_begins_with_closed_parts(opened, path):
    with opened(path, width=390, height=844, unfold=False) as page:
        assert page.evaluate("document.querySelectorAll('details.part[open]').length") == 0
        assert page.evaluate("document.documentElement.scrollHeight") < 7000
        page.click("#curves")
        page.wait_for_selector("#curves-log svg")


def test_a_closed_part_is_printed(opened, path):
    with opened(path, unfold=False) as page:
        assert page.query_selector("#reliability-0 svg") is None
        page.evaluate("() => { dispatchEvent(new Event('beforeprint')); }")
        page.wait_for_selector("#reliability-0 svg")
        page.emulate_media(media="print")
        assert page.is_visible("#reliability")
