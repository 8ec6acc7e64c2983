import sys

import pytest
import rich.console

import recuse as rc
from recuse.present.terminal import bar
from samples import sample


class Screen(rich.console.Console):
    def __init__(self, **options):
        super().__init__(**options, force_terminal=terminal, width=60)


terminal = False


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_on_terminals_alone_and_keeps_the_items(monkeypatch, capsys, shown):
    monkeypatch.setattr(f"{__name__}.terminal", shown)
    monkeypatch.setattr("recuse.present.terminal.Console", Screen)
    assert list(bar(iter([3, 1, 2]), "counting")) == [3, 1, 2]
    assert ("counting" in capsys.readouterr().err) == shown
    assert list(bar([3, 1, 2], "counting", show=False)) == [3, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_an_evaluation_shows_its_models_where_somebody_looks(monkeypatch, capsys):
    parts = {name: sample(300, seed=i) for i, name in enumerate(("tune", "calibrate", "test"))}
    rc.evaluate({"net": parts}, target_risk=0.3, learned=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(f"{__name__}.terminal", True)
    monkeypatch.setattr("recuse.present.terminal.Console", Screen)
    rc.evaluate({"net": parts}, target_risk=0.3, learned=False)
    assert "evaluating" in capsys.readouterr().err
    rc.evaluate({"net": parts}, target_risk=0.3, learned=False, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_ipywidgets_has_no_bar_and_no_warning(monkeypatch, capsys, recwarn):
    def screen(**options):
        return rich.console.Console(**options, force_jupyter=True)

    monkeypatch.setattr("recuse.present.terminal.Console", screen)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert list(bar([3, 1, 2], "counting")) == [3, 1, 2]
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")
