"""Settings of all tests: Hypothesis without deadlines, the same examples on every run."""

import pytest
from hypothesis import settings

import recuse

settings.register_profile("recuse", deadline=None, derandomize=True)
settings.load_profile("recuse")

# Docstrings are examples under src/recuse alone: the other modules are no part of the package.
collect_ignore_glob = ["docs/*.py", "benchmarks/*.py", "tests/[!t]*.py", "tests/*/[!t]*.py"]

# pytest looks for the examples of a function or class in the module that its `__module__` names;
# `recuse` gets its own on first use. (`targets` is a module, and needs torch.)
for name in recuse._HOME.keys() - {"targets"}:
    getattr(recuse, name)


@pytest.fixture(autouse=True)
def examples_write_elsewhere(request, tmp_path, monkeypatch):
    """The examples of pages and docstrings save files: not into the checkout."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
