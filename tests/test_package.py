"""What holds for the package as a whole: its imports, its layers, its public names."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import recuse

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "scipy", "numba", "altair", "matplotlib", "plotly", "jinja2", "sklearn", "rich")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.strip()


def test_importing_recuse_loads_nothing_heavy():
    code = f"import recuse, sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_modules_come_on_first_use_and_load_nothing_before():
    code = (
        "import recuse as rc, sys; names = ('plots', 'integrations', 'recipes'); "
        "assert {*names, 'export', 'losses', 'targets'} <= {*dir(rc)}; "
        "assert not any(f'recuse.{n}' in sys.modules for n in names); "
        "assert [getattr(rc, n).__name__ for n in names] == [f'recuse.{n}' for n in names]; "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_the_functions_keep_their_names_after_their_modules_are_imported():
    """`recuse.tune` and `recuse.report` are functions, and modules of the same name exist."""
    code = "import recuse.rejector, recuse.report as r, recuse as rc; print(callable(rc.tune), callable(rc.report))"  # noqa: E501
    assert run(code) == "True True"


def test_the_imports_point_down():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_every_public_name_exists_and_is_documented():
    for name in recuse.__all__:
        value = getattr(recuse, name)
        assert name.startswith("__") or inspect.getdoc(value), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = recuse.nonsense


def test_every_example_in_a_docstring_runs():
    import doctest

    failed = {}
    for info in pkgutil.walk_packages(recuse.__path__, "recuse."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        result = doctest.testmod(module, optionflags=flags)
        if result.failed:
            failed[info.name] = result.failed
    assert not failed
