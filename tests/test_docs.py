"""The documentation: every public name in it, every command line in it, every block run."""

import importlib
import inspect
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import recuse
from recuse import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md"]
REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
PLACES = set(re.findall(r"^::: (recuse[\w.]*)$", REFERENCE, re.MULTILINE))

# Console blocks of these pages run; the others need data, hours, or another package.
SCRIPTS = [
    "sources.md",
    "mixtures.md",
    "serve.md",
]  # Python that is no doctest; `test_sources.py` has the first, `test_serve.py` the last
OF_THE_DEMO = [
    "is-my-model-hurt.md",
    *(f"how-to/{name}.md" for name in ("measure", "deploy", "repair", "diagnose")),
]
NOT_RUN = ("python -m", "recuse demo", "recuse evaluate predictions.csv", "--features", "pip ")
CLOSE = {"rel_tol": 0.05, "abs_tol": 0.1}  # the last digits are those of the processor


# Every public name


def named(page):
    """The name of a test: its page, from the root."""
    return page.relative_to(ROOT).as_posix()


def modules():
    """The modules that `recuse` names, and those of the functions and classes it names."""
    named = [getattr(recuse, name) for name in recuse.__all__]
    homes = {f"recuse.{home}" for home in recuse._HOME.values()}
    homes |= {x.__name__ for x in named if inspect.ismodule(x)}
    return sorted(homes - {"recuse.errors"})  # on the start page of the reference, one by one


def blocks(page, *kinds):
    """The fenced blocks of a page (its text) that say they are of one of these kinds."""
    fenced = re.finditer(r"^ *```(\w*)\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    return [block[2] for block in fenced if block[1] in kinds]


@pytest.mark.parametrize("module", modules())
def test_every_public_module_is_in_the_reference(module):
    assert module in PLACES


@pytest.mark.parametrize("module", sorted(PLACES))
def test_every_public_name_says_what_it_is(module):
    try:
        found = importlib.import_module(module)
    except recuse.MissingExtraError as missing:
        pytest.skip(str(missing))
    except ModuleNotFoundError as missing:
        if missing.name.split(".")[0] == "recuse":  # a class or a function
            parent, _, name = module.rpartition(".")
            found = getattr(importlib.import_module(parent), name)
        else:
            pytest.skip(f"needs {missing.name}")
    assert inspect.getdoc(found)
    silent = [name for name in getattr(found, "__all__", ()) if not documented(found, name)]
    assert not silent


def documented(module, name):
    """Functions and classes by a docstring; constants by their page, which shows their comment."""
    x = getattr(module, name)
    if not (inspect.isfunction(x) or inspect.isclass(x)):
        return True
    own = x.__dict__.get("__doc__") if inspect.isclass(x) else x.__doc__
    return bool(own) and not own.startswith(f"{name}(")  # what dataclasses write by themselves


def test_names_of_recuse_have_a_row_in_the_reference():
    index = (DOCS / "api/index.md").read_text(encoding="utf-8")
    for name in recuse.__all__:
        assert f"`{name}`" in index, name


# Every page


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = re.findall(r"[\w/.-]+\.md", navigation)
    there = {str(page.relative_to(DOCS).as_posix()) for page in PAGES}
    by_themselves = ("decisions/", "results-")
    assert sorted(named) == sorted(p for p in there if not p.startswith(by_themselves))


@pytest.mark.parametrize("page", [*TEXTS, *ROOT.glob("C*.md")], ids=named)
def test_links_lead_to_files_that_are_there(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        if not path.startswith(("http:", "https:", "mailto:")):
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page):
    """Of its headings, as code hosts and MkDocs write them where there is no punctuation twice."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_python_block_is_a_doctest_or_on_a_page_whose_scripts_run(page):
    if page.name not in SCRIPTS:
        found = blocks(page.read_text(encoding="utf-8"), "python", "py", "pycon")
        assert all(block.startswith(">>> ") and block.endswith("\n\n") for block in found)


# Every command line


def command_lines(page):
    """The commands of blocks of text: after `$`, or `recuse ...` at the start of a line."""
    joined = "\n".join(blocks(page, "", "text", "console")).replace("\\\n", " ")
    return re.findall(r"^(?:\$ )?(recuse .*)$", joined, re.MULTILINE)


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_every_command_line_names_commands_and_options_that_exist(page):
    for line in command_lines(page.read_text(encoding="utf-8")):
        name, *arguments = shlex.split(line)[1:]
        if name != "--version":
            parse(name, [a for a in arguments if a != "..."])


def parse(name, arguments):
    """Errors on options that the command does not have, or that lack a value."""
    command = cli.load(name)
    parser = command.make_parser(command.context_class(command, info_name=name))
    parser.parse_args(arguments)


def test_commands_that_do_not_exist_are_found():
    with pytest.raises(KeyError):
        parse("evaluat", [])
    with pytest.raises(Exception, match="No such option"):
        parse("fit", ["--tunes", "a"])
    page = "```python\n>>> 1\n```\nrecuse no\n```text\n$ recuse fit --tune a \\\n  --coverage 1\n"
    page += "recuse?\n```\n```\nrecuse demo\n```\n"
    assert command_lines(page) == ["recuse fit --tune a    --coverage 1", "recuse demo"]


# Every console block


def sessions(page):
    """(command, what the page says it prints) of every block that starts with `$`."""
    for block in blocks(page, "text", "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.replace("\\\n", "").partition("\n")
            yield command, printed


def run_page(page, folder):
    """Run what can be run, in one shell's folder; (command, printed on the page, printed now)."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    for command, printed in sessions(page.read_text(encoding="utf-8")):
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
        elif not any(mark in command for mark in NOT_RUN):
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == int("Infeasible" in printed), (command, done.stderr)
            yield command, printed, done.stdout + done.stderr


NUMBER = r"\d[\d,]*(?:\.\d+)?"


def pattern(printed):
    """What the page says, its numbers as groups, `...` as anything."""
    words = re.escape(" ".join(re.sub(NUMBER, "\0", printed).split()))
    whole = words.replace(re.escape("\0"), f"({NUMBER})").replace("\\ ", r"\s+")
    whole = whole.replace(r"\s+\.\.\.\s+", r"\s.*?")  # also for nothing at all
    return re.compile(whole.replace(r"\.\.\.", ".*?"), re.DOTALL)


def check_printed(command, printed, now):
    """Words are equal; where numbers of the page are not, they are close."""
    found = pattern(printed).search(now)
    assert found, f"{command}\n--- the page says\n{printed}\n--- it prints\n{now}"
    on_page = re.findall(NUMBER, printed)
    for a, b in zip(on_page, found.groups(), strict=True):
        assert math.isclose(*(float(x.replace(",", "")) for x in (a, b)), **CLOSE), (command, a, b)


def run_python(page, folder, monkeypatch):
    """The Python of a page, where its console blocks need the files it writes."""
    monkeypatch.chdir(folder)
    lines = "\n".join(blocks(page.read_text(encoding="utf-8"), "python")).splitlines()
    exec("\n".join(line[4:] for line in lines if line.startswith((">>> ", "... "))), {})


def test_a_newcomer_sees_what_the_start_page_shows(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    run_python(DOCS / "index.md", tmp_path, monkeypatch)
    ran = list(run_page(DOCS / "index.md", tmp_path))
    assert len(ran) >= 5
    for session in ran:
        check_printed(*session)


def test_a_table_is_imported_as_the_page_about_files_shows(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("pyarrow")
    run_python(DOCS / "files.md", tmp_path, monkeypatch)
    ran = list(run_page(DOCS / "files.md", tmp_path))
    assert len(ran) == 6
    for session in ran:
        check_printed(*session)


def test_answers_of_a_language_model_are_fitted_as_the_page_shows(tmp_path, monkeypatch):
    page = DOCS / "how-to/language-models.md"
    run_python(page, tmp_path, monkeypatch)
    ran = list(run_page(page, tmp_path))
    assert len(ran) == 6
    for session in ran:
        check_printed(*session)


def test_cases_of_two_sites_are_answered_as_the_medical_page_shows(tmp_path, monkeypatch):
    run_python(DOCS / "how-to/medical.md", tmp_path, monkeypatch)
    ran = list(run_page(DOCS / "how-to/medical.md", tmp_path))
    assert len(ran) == 13
    for session in ran:
        check_printed(*session)


def test_the_scripts_about_mixtures_and_their_console_blocks_run(tmp_path):
    """The table below the second script is what it prints, where training adds up the same."""
    pytest.importorskip("torch")
    page = DOCS / "how-to/mixtures.md"
    text = page.read_text(encoding="utf-8")
    for script in (b for b in blocks(text, "python") if not b.startswith(">>> ")):
        run = [sys.executable, "-c", script]
        done = subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert re.findall(r"^\w+ +\w+", done.stdout, re.M) == re.findall(
        r"^(?:plain|smooth) +(?:msp|logit_norm)", text, re.M
    )
    for command, printed, now in run_page(page, tmp_path):
        assert pattern(free(printed)).search(free(now)), f"{command}\n{now}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `recuse demo` writes, once."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("demo")
    recuse_demo = [sys.executable, "-m", "recuse", "demo", "--out", "demo", "--quiet"]
    subprocess.run(recuse_demo, cwd=folder, check=True, capture_output=True)
    return folder / "demo"


@pytest.mark.parametrize("name", OF_THE_DEMO)
def test_console_blocks_about_the_demo_run(name, demo, tmp_path):
    (tmp_path / "demo/logits").mkdir(parents=True)
    for file in (demo / "logits").iterdir():
        (tmp_path / "demo/logits" / file.name).symlink_to(file)
    ran = list(run_page(DOCS / name, tmp_path))
    assert ran
    for command, printed, now in ran:  # training adds up in another order on another processor
        assert pattern(free(printed)).search(free(now)), f"{command}\n{now}\n---\n{printed}"


def free(printed):
    """Without frames and heads of tables, and without what depends on how close candidates are."""
    unframed = re.sub("[\u2500-\u257f]", "", re.sub("^\u2503.*$", "", printed, flags=re.MULTILINE))
    kept = r"(Kept MSP): .*? (?:reduces|increases) AURC"
    return re.sub(kept, r"\1 ... AURC", " ".join(unframed.split()))


def test_a_page_that_says_something_else_is_found():
    page = "of 100 rows ... 3.1 % (...)"
    check_printed("a", page, "of 100  rows yes,\n3.12 % (1 and 2)")
    check_printed("a", page, "of 100 rows 3.1 % ()")
    for now in ("of 100 lines 3.1 % ()", "of 120 rows 3.1 % ()", "of 100 rows 4.1 % ()"):
        with pytest.raises(AssertionError):
            check_printed("a", page, now)
