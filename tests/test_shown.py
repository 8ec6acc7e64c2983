import html
import io
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

import recuse as rc
from recuse.errors import InputError
from samples import sample

BAD = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def evaluation():
    parts = {name: sample(600, seed=i) for i, name in enumerate(("tune", "calibrate", "test"))}
    return rc.evaluate({"good": parts, BAD: parts}, target_risk=0.2)


def test_a_terminal_shows_a_row_for_each_model(evaluation):
    shown = repr(evaluation)
    m = evaluation["good"]
    for cell in (f"{100 * m.accuracy:.1f} %", f"{1000 * m.before.aurc:.2f}", "<= 20 %"):
        assert shown.count(cell) >= 2
    assert "600 test predictions" in shown
    screen = Console(file=io.StringIO(), width=110)
    screen.print(evaluation)
    assert "good" in screen.file.getvalue()


def test_a_notebook_shows_a_table_and_the_curves_and_names_stay_text(evaluation):
    page = evaluation._repr_html_()
    tree = ElementTree.fromstring(f"<div>{page}</div>")
    assert BAD not in page
    assert html.escape(BAD) in page
    assert len(tree.findall(".//tbody/tr")) == 2
    assert len(tree.findall(".//polyline")) == 2


def points_of(line):
    return [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]


def test_each_curve_is_drawn_with_larger_risks_higher(evaluation):
    """y counts downwards in an SVG: risk 0 lies on the axis, at 170, the largest risk at 20."""
    tree = ElementTree.fromstring(f"<div>{evaluation._repr_html_()}</div>")
    drawn = [points_of(line) for line in tree.findall(".//polyline")]
    assert len(drawn) == len(evaluation.models)
    curves = [rc.risk_coverage(m.confidence, m.loss) for m in evaluation.models]
    top = max(curve.risk.max() for curve in curves)
    for curve, points in zip(curves, drawn):
        every = [
            (40 + 310 * coverage, 170 - 150 * risk / top)
            for coverage, risk in zip(curve.coverage, curve.risk)
        ]
        for x, y in points:
            assert min(abs(x - a) + abs(y - b) for a, b in every) < 0.11  # rounded to 0.1
        assert points[0] == pytest.approx(every[0], abs=0.051)
        assert points[-1] == pytest.approx(every[-1], abs=0.051)
        assert points[-1][1] < 170
        highest = every[int(curve.risk.argmax())]
        assert min(points, key=lambda p: p[1])[1] == pytest.approx(highest[1], abs=1)


def test_sizes_that_differ_are_a_range():
    def parts(n):
        return {name: sample(n, seed=i) for i, name in enumerate(("tune", "calibrate", "test"))}

    models = {f"net {n}": parts(n) for n in (600, 1200, 900)}
    assert "600 to 1,200 test predictions" in repr(rc.evaluate(models, target_risk=0.2))


def test_lines_of_many_models_differ_and_their_names_stand_under_them(evaluation):
    many = tuple(replace(evaluation.models[0], name=f"net {i}") for i in range(13))
    page = replace(evaluation, models=many)._repr_html_()
    tree = ElementTree.fromstring(f"<div>{page}</div>")
    looks = [(a.get("stroke"), a.get("stroke-dasharray")) for a in tree.iter("polyline")]
    assert len(set(looks)) == 13
    assert [(a.get("stroke"), a.get("stroke-dasharray")) for a in tree.iter("line")] == looks
    names = [e[0].tail.strip() for e in tree.findall("div")]
    assert names == [m.name for m in many]


def test_no_guarantee_is_said(evaluation):
    models = tuple(replace(m, rejector=None, accepted=0, errors=0) for m in evaluation.models)
    shown = repr(replace(evaluation, models=models))
    assert "infeasible" in shown
    assert " - " in shown


def test_an_unknown_model_is_named_in_one_line(evaluation):
    with pytest.raises(InputError, match="expected a model of good, "):
        evaluation["bad"]
