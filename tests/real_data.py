"""Where real data lie, for the tests that use them."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def real_data(name):
    """A folder of `RECUSE_DATA`, or of `shared/data` beside the repository; else the test skips."""
    folder = Path(os.environ.get("RECUSE_DATA", BESIDE)) / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in RECUSE_DATA or {BESIDE.name}: real data are not in the project")
    return folder
