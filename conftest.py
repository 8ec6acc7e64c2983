"""Settings of all tests: Hypothesis without deadlines, the same examples on every run.

`RECUSE_TIMES=FILE make test` writes the CPU seconds of each test, which `make slow` reads.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import recuse

settings.register_profile("recuse", deadline=None, derandomize=True)
settings.load_profile("recuse")

# pytest looks for the examples of a function or class in the module that its `__module__` names;
# `recuse` gets its own on first use. (`targets` is a module, and needs torch.)
for name in recuse._HOME.keys() - {"targets"}:
    getattr(recuse, name)


ROOT = Path(__file__).parent
NAMES = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines()
SLOW = {name for name in NAMES if name and not name.startswith("#")}
COSTLY = {"every_score", "demo"}  # fixtures of most of a minute


def pytest_ignore_collect(collection_path):
    """Look for examples in docstrings under src/recuse alone, and for tests in `test_*.py`."""
    module = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if module and ROOT / "src" not in collection_path.parents else None


def pytest_itemcollected(item):
    """Mark as slow what `tests/slow.txt` names, a test, all its cases or a file, and the costly."""
    name = item.nodeid
    named = SLOW & {name, name.partition("[")[0], name.partition("::")[0]}
    if named or COSTLY & {*getattr(item, "fixturenames", ())}:
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Write the CPU seconds of a test where `RECUSE_TIMES` says."""
    before = sum(os.times()[:4])  # of this process and of those that it has waited for
    result = yield
    if times := os.environ.get("RECUSE_TIMES"):
        with open(times, "a", encoding="utf-8") as out:
            out.write(f"{sum(os.times()[:4]) - before:.2f}\t{item.nodeid}\n")
    return result


class Trainer:
    """What the README calls a `Trainer`: its predictions of a data set."""

    def predict(self, dataset):
        """Return random logits that are right more often where they are large."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, 2000)
        logits = rng.normal(size=(2000, 3)) + rng.gamma(2, 2, (2000, 1)) * np.eye(3)[labels]
        return logits.astype(np.float32), labels


@pytest.fixture(autouse=True)
def a_trainer_for_the_readme(doctest_namespace):
    """Give the README its `trainer`; the page about Transformers has a real one."""
    doctest_namespace |= {"trainer": Trainer(), "dataset": None}


@pytest.fixture(autouse=True)
def examples_write_elsewhere(request, tmp_path, monkeypatch):
    """The examples of pages and docstrings save files: not into the checkout."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
