"""Settings of all tests: Hypothesis without deadlines, the same examples on every run."""

import pytest
from hypothesis import settings

settings.register_profile("recuse", deadline=None, derandomize=True)
settings.load_profile("recuse")


@pytest.fixture(autouse=True)
def examples_write_elsewhere(request, tmp_path, monkeypatch):
    """The examples of Markdown pages save files: not into the checkout."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
