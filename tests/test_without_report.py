"""What an install without the extra `report` does: everything but the page."""

import sys

import pytest

import recuse as rc
from answers import one_line, plain
from learnable import learnable
from recuse import write_logits
from recuse.reports import NEEDED

HOW = "pip install 'recuse[report]'"


@pytest.fixture(params=NEEDED)
def missing(request, monkeypatch):
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


def test_run_decides_and_says_how_to_get_the_page(missing, recuse, tmp_path):
    write_logits(tmp_path / "a.npz", *learnable(2000, 0))
    write_logits(tmp_path / "b.npz", *learnable(500, 1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("of an earlier run")
    run = ("run", "a.npz", "--target-risk", 0.3, "--out", "out", "--force")
    code, out, err = recuse(*run)
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("Page: ")] == [
        f"Page: none, since it needs the extra: {HOW}."
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejector.json"]
    assert len(plain(recuse(*run, "--json")[1])["written"]) == 1
    assert recuse("predict", "out/rejector.json", "b.npz", "--out", "d.csv")[0] == 0


def test_an_infeasible_run_names_no_page(missing, recuse, tmp_path):
    write_logits(tmp_path / "a.npz", *learnable(200, 0))
    code, out, err = recuse("run", "a.npz", "--target-risk", 0.0001, "--out", "out")
    assert (code, err) == (1, "")
    assert "report.html" not in out


@pytest.mark.parametrize(
    "command", [("report", "--model", "a=a.npz"), ("demo",), ("train", "digits")], ids="|".join
)
def test_what_is_a_page_is_refused_before_any_work(missing, command, recuse, tmp_path):
    write_logits(tmp_path / "a.npz", *learnable(200, 0))
    one_line(recuse(*command), f"the page needs {missing}: {HOW}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_report_in_python_says_it_too(missing, tmp_path):
    found = rc.evaluate({"net": learnable(400, 0)}, target_risk=0.3, progress=False)
    with pytest.raises(rc.MissingExtraError, match=r"pip install 'recuse\[report\]'"):
        rc.report(found, tmp_path / "r.html")
    assert not list(tmp_path.iterdir())
