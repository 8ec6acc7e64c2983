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
    lines = tree.findall(".//polyline")
    assert len(lines) == 2
    points = [tuple(map(float, p.split(","))) for p in lines[0].attrib["points"].split()]
    assert points[-1][0] == 350  # full coverage
    risk = evaluation["good"].loss.mean()
    top = 170 - min(y for _, y in points)
    assert top == pytest.approx(150, abs=0.1)
    assert 170 - points[-1][1] <= top
    assert risk > 0


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


def test_nothing_to_promise_is_said(evaluation):
    models = tuple(replace(m, rejector=None, accepted=0, errors=0) for m in evaluation.models)
    shown = repr(replace(evaluation, models=models))
    assert "infeasible" in shown
    assert " - " in shown


def test_an_unknown_model_is_named_in_one_line(evaluation):
    with pytest.raises(InputError, match="expected a model of good, "):
        evaluation["bad"]
