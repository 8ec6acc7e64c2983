"""What holds for the package as a whole: its imports, its layers, its public names."""

import ast
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recuse

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "scipy", "numba", "matplotlib", "plotly", "jinja2", "sklearn", "rich")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.strip()


def test_importing_recuse_loads_nothing_else():
    """Not even NumPy: each name is imported when it is first used."""
    code = (
        "import sys; before = {*sys.modules}; import recuse; "
        "print(sorted(m for m in {*sys.modules} - before if m.startswith('recuse')), "
        f"[m for m in {(*HEAVY, 'numpy')} if m in sys.modules])"
    )
    assert run(code) == "['recuse', 'recuse._version'] []"


def test_functions_that_need_numpy_alone_load_nothing_heavier():
    names = [n for n in recuse.__all__ if n not in ("export", "losses", "targets")]  # of torch
    code = (
        f"import recuse, sys; [getattr(recuse, n) for n in {names}]; "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_the_functions_keep_their_names_after_their_modules_are_imported():
    code = (
        "import recuse.tuning, recuse.diagnosis, recuse.reports, recuse as rc; "
        "print(callable(rc.tune), callable(rc.diagnose), callable(rc.report))"
    )
    assert run(code) == "True True True"


def test_packages_come_on_first_use_and_are_listed():
    code = (
        "import recuse as rc; print({'tuning', 'sketch', *rc.__all__} <= {*dir(rc)}, "
        "rc.sketch.CurveSketch is rc.CurveSketch, rc.targets.__name__)"
    )
    assert run(code) == "True True recuse.losses.targets"


def test_functions_and_classes_bear_the_name_of_recuse():
    """Tracebacks and pickles say `recuse.fit`, wherever its file moves."""
    for name in recuse.__all__:
        value = getattr(recuse, name)
        if callable(value):
            assert (value.__module__, value.__qualname__) == ("recuse", name)
            assert pickle.loads(pickle.dumps(value)) is value
    assert str(recuse.InputError) == "<class 'recuse.InputError'>"


def test_type_checkers_know_every_name():
    """What is imported for them is what `__all__` names and `__getattr__` finds."""
    tree = ast.parse(Path(recuse.__file__).read_text(encoding="utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    pairs = {(n.module, a.name) for n in imports for a in n.names if n.module.startswith("recuse")}
    assert sorted(name for _, name in pairs) == sorted(recuse.__all__)
    for module, name in pairs:
        assert getattr(importlib.import_module(module), name) is getattr(recuse, name)


def test_an_infeasible_error_comes_back_from_another_process_with_its_selection():
    selection = recuse.select([0.9, 0.8], [1, 1], target_risk=0.1, method="random_walk")
    error = recuse.InfeasibleError(selection)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.selection == selection


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


def test_every_example_in_a_docstring_is_collected():
    """By pytest: one whose place it does not find would never run."""
    sources = (ROOT / "src" / "recuse").rglob("*.py")
    nodes = [n for path in sources for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    written = sum(">>> " in (ast.get_docstring(n) or "") for n in nodes if isinstance(n, kinds))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, "src/recuse"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert sum(int(n) for n in re.findall(r"^src/.*: (\d+)$", found, re.MULTILINE)) == written


def test_every_test_file_is_collected_and_no_helper(request):
    ignored = request.config.pluginmanager.hook.pytest_ignore_collect
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    assert {p.parent.name for p in tests} >= {"browser", "integrations", "validity", "vision"}
    assert [p for p in tests if ignored(collection_path=p, config=request.config)] == []
    assert ignored(collection_path=ROOT / "tests" / "reference.py", config=request.config)
    assert not ignored(collection_path=ROOT / "src" / "recuse" / "errors.py", config=request.config)
