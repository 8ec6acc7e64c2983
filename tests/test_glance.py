"""Two lines on a terminal and a short table in a notebook, of every result that is looked at."""

import html
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import recuse as rc
from learnable import learnable
from recuse.present.glance import AtAGlance

BAD = "<b>&"
RISK = {"target_risk": 0.3}


def results():
    z, y = learnable(2000, 0)
    c, wrong = rc.scores.msp(z), z.argmax(axis=1) != y
    many = rc.datasets.imagenet_lite2()
    subgroups = np.where(np.arange(2000) % 2, BAD, "a")
    return {
        "a rejector of 1,000 named classes": rc.fit(many, target_risk=0.2),
        "a rejector by class": rc.fit((z, y), **RISK, subgroups="class"),
        "a rejector by subgroup": rc.fit((z, y), **RISK, subgroups=subgroups),
        "a rejector of a cost": rc.fit((z, y), costs=np.c_[10 * (1 - np.eye(5)), np.ones(5)]),
        "a tuned score": rc.tune(z, y),
        "a diagnosis": rc.diagnose(many),
        "a diagnosis without errors": rc.diagnose(z, z.argmax(axis=1)),
        "a selection": rc.select(c, wrong, **RISK),
        "an infeasible selection": rc.select(c, wrong, target_risk=0.0001),
        "selections of subgroups": rc.selectors.select_by_subgroup(c, wrong, subgroups, **RISK),
        "a held-out file": replace(many, name=BAD),
        "a held-out file without labels": rc.io.HeldOut(z),
        "a curve": rc.risk_coverage(c, wrong),
        "a curve of one point": rc.risk_coverage([1.0], [0]),
        "a plan": rc.plan(accuracy=0.8, aurc=0.05, target_risk=0.05),
        "an infeasible plan": rc.plan(accuracy=0.5, aurc=0.49, target_risk=0.001),
    }


NAMES = tuple(
    """a rejector of 1,000 named classes|a rejector by class|a rejector by subgroup|
    a rejector of a cost|a tuned score|a diagnosis|a diagnosis without errors|a selection|
    an infeasible selection|selections of subgroups|a held-out file|a held-out file without labels|
    a curve|a curve of one point|a plan|an infeasible plan""".replace("\n    ", "").split("|")
)


@pytest.fixture(scope="module")
def shown():
    return results()


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_two_lines_on_a_terminal_and_a_short_table_in_a_notebook(name, shown):
    assert tuple(shown) == NAMES
    text = repr(shown[name])
    assert text.count("\n") == 1
    assert len(text) < 1000
    assert not {"nan", "None", "dtype"} & {*text.split()}
    page = shown[name]._repr_html_()
    tree = ElementTree.fromstring(page)
    rows = [[cell.text for cell in row] for row in tree.findall(".//tr")]
    assert 1 <= len(rows) <= 12
    assert all(all(cells) for cells in rows)
    assert len(page) < 4000
    assert BAD not in page


def test_what_a_rejector_shows_is_its_rule_and_its_guarantee(shown):
    found = shown["a rejector of 1,000 named classes"]
    assert repr(found).split("\n") == [f"Rejector: {found._rule}", found.statement]
    assert "995 more" in found._repr_html_()
    assert html.escape(BAD) in shown["a held-out file"]._repr_html_()
    assert "Infeasible" in repr(shown["an infeasible plan"])


def test_every_result_with_a_card_is_looked_at_here(shown):
    assert {type(x) for x in shown.values()} >= {*AtAGlance.__subclasses__()}


def test_the_points_in_the_table_of_a_curve_are_on_it():
    curve = rc.risk_coverage([4.0, 3.0, 2.0, 2.0, 1.0], [0, 1, 0, 0, 1])
    assert repr(curve) == (
        "RiskCoverage: 4 operating points of 5 predictions\n"
        "Risk 0 at coverage 20.0 %, 0.4 at coverage 100 %."
    )
    cells = [[x.text for x in row] for row in ElementTree.fromstring(curve._repr_html_())[1]]
    assert cells == [
        ["coverage 20.0 %", "risk 0, threshold 4"],
        ["coverage 80.0 %", "risk 0.25, threshold 2"],
        ["coverage 100 %", "risk 0.4, threshold 1"],
    ]


def test_a_curve_and_an_evaluation_draw_themselves_on_given_axes_or_new_ones():
    figure = pytest.importorskip("matplotlib.figure", reason="pip install 'recuse[plots]'")
    plt = pytest.importorskip("matplotlib.pyplot", reason="pip install 'recuse[plots]'")
    z, y = learnable(400, 0)
    c, wrong = rc.scores.msp(z), z.argmax(axis=1) != y
    curve, found = rc.risk_coverage(c, wrong), rc.evaluate({"net": (z, y)}, **RISK, progress=False)
    for plot in (curve.plot, found.plot, lambda ax=None: rc.plots.curve(c, wrong, ax)):
        given = figure.Figure().subplots()
        assert plot(given) is given
        made = plot()
        assert made in plt.gcf().axes
        plt.close("all")
        for ax in (given, made):
            assert (ax.get_xlabel(), ax.get_ylabel()) == ("coverage", "risk")
            (line, *_) = ax.get_lines()
            np.testing.assert_allclose(line.get_ydata()[-1], wrong.mean())
