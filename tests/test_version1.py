"""Files that version 0.1 saved load and decide the same: tests/version1/ stays as it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from recuse._internal.files import checksum
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.monitor import Monitor
from recuse.rejector import Rejector
from recuse.sketch import CurveSketch, SubgroupSketches

FILES = Path(__file__).parent / "version1"
EXPECTED = json.loads((FILES / "expected.json").read_text())
INPUTS = np.load(FILES / "inputs.npz")
DECISIONS = np.load(FILES / "decisions.npz")
FIELDS = {"label": "prediction", "confidence": "confidence", "accept": "accept"}
REJECTORS = sorted(path.stem.removeprefix("rejector-") for path in FILES.glob("rejector-*"))
MONITORS = sorted(path.stem.removeprefix("monitor-") for path in FILES.glob("monitor-*"))
each_rejector = pytest.mark.parametrize("name", REJECTORS)
each_monitor = pytest.mark.parametrize("name", MONITORS)


def path_of(name):
    return FILES / f"rejector-{name}.json"


def subgroups_of(name):
    site = {"site": INPUTS["site"], "site-integers": (INPUTS["site"] == "north").astype(int)}
    return site.get(name)


def decided(rejector, name):
    file = HeldOut(INPUTS[EXPECTED[name]], kind=rejector.kind)  # version 1 took what it made of it
    return rejector.predict(file, subgroups_of(name))


def test_every_kind_of_file_is_kept():
    assert (len(REJECTORS), len(MONITORS)) == (21, 4)
    assert {*REJECTORS, *(f"monitor-{name}" for name in MONITORS)} <= {*EXPECTED}


@each_rejector
def test_a_rejector_decides_the_same_to_the_last_bit(name):
    found = decided(Rejector.load(path_of(name)), name)
    for there, here in {**FIELDS, "p_correct": "p_correct"}.items():
        expected = DECISIONS[f"{name}/{there}"]
        assert np.array_equal(getattr(found, here), expected)
        assert getattr(found, here).dtype == expected.dtype


@each_rejector
def test_saved_again_it_is_version_2_and_the_same(tmp_path, name):
    first = Rejector.load(path_of(name))
    first.save(tmp_path / "two.json")
    data = json.loads((tmp_path / "two.json").read_text())
    second = Rejector.load(tmp_path / "two.json")
    assert data["version"] == 2
    assert second == first
    assert str(second) == str(first)
    checksum = json.loads(path_of(name).read_text())["checksum"]
    assert data["version_1"] == second.version_1 == first.version_1 == checksum
    for one, other in zip(decided(first, name), decided(second, name)):
        assert np.array_equal(one, other)


@each_rejector
def test_its_numbers_are_those_of_the_file(name):
    data, rejector = json.loads(path_of(name).read_text()), Rejector.load(path_of(name))
    assert rejector.reason == data["reason"]
    for rule, written in zip(rejector.rules, data["rules"], strict=True):
        promise, now = written["promise"], rule.guarantee.to_dict()
        assert promise["kind"] == rule.guarantee.kind
        same = {*promise} - {"kind", "assumption", "unit"}
        assert {k: now[k] for k in same} == {k: promise[k] for k in same}
        assert now["unit"] == {"examples": "rows", "groups": "groups"}[promise["unit"]]
        assert now["assumptions"][0] == f"iid_{now['unit']}"
        assert (rule.subgroup, rule.threshold == np.inf) == (
            written["of"],
            not written["threshold"],
        )
        if rule.guarantee.kind == "risk":
            assert rule.reason == written["reason"]


def test_assumptions_and_their_number_are_read_from_the_sentence():
    def assumptions(name):
        g = Rejector.load(path_of(name)).rules[0].guarantee
        return g.assumptions, g.simultaneous, g.points

    assert assumptions("risk-random_walk") == (("iid_rows",), 1, None)
    assert assumptions("groups-walk") == (("iid_groups",), 1, None)
    assert assumptions("risk-sgr") == (("iid_rows", "adaptive_search_unproved"), 1, None)
    assert assumptions("risk-band") == (("iid_rows",), 1, 50)
    assert assumptions("several-6") == (("iid_rows",), 3, None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("risk-band", {"assumption": "nothing"}, "expected the assumption 'calibrate rows"),
        ("risk-band", {"method": "sgr"}, "expected the assumption"),
        ("several-6", {"assumption": "calibrate rows are"}, "expected the assumption"),
        ("coverage", {"assumption": ""}, "expected the assumption"),
        ("cost", {"upper": 0.1}, "counts do not support its guarantee"),
        ("risk-sgr", {"errors": 400}, "counts do not support its guarantee"),
        ("risk-sgr", {"unit": "rows"}, "a known unit"),
        ("risk-sgr", {"more": 1}, "unknown field 'more'"),
        ("void", {"void": False}, "guarantee is not void"),
    ],
)
def test_a_changed_file_of_version_1_is_refused(tmp_path, name, change, message):
    data = json.loads(path_of(name).read_text())
    data["rules"][0]["promise"] |= change
    with pytest.raises(InputError, match="checksum differs"):
        Rejector.from_dict(data)
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    with pytest.raises(InputError, match=message):
        Rejector.from_dict(data)


@each_monitor
def test_a_monitor_belongs_to_its_rejector_saved_again(tmp_path, name):
    """What it says is tested in test_monitor.py."""
    Rejector.load(path_of(name)).save(tmp_path / "two.json")
    again = Rejector.load(tmp_path / "two.json")
    assert len(Monitor.load(FILES / f"monitor-{name}.json", again).verdict.log_e) == 3
    with pytest.raises(InputError, match="expected the state of this rejector"):
        Monitor.load(FILES / f"monitor-{name}.json", Rejector.load(path_of("risk-sgr")))


def test_sketches_give_the_same_numbers():
    for name in ("sketch", "sketch-losses"):
        sketch = CurveSketch.load(FILES / f"{name}.npz")
        assert sketch.n == EXPECTED[name]["n"]
        assert list(sketch.aurc()) == EXPECTED[name]["aurc"]
    grouped = SubgroupSketches.load(FILES / "sketch-grouped.npz")
    assert {str(key): list(grouped[key].aurc()) for key in grouped} == EXPECTED["sketch-grouped"]
