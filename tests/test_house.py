"""The house rules that no linter knows: pages, circles, names of packages, retired words.

`python tests/test_house.py` prints the retired words that are left, with their places.
"""

import ast
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
MODULES = {  # its dotted name: its file
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "recuse").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

# Retired words, as regular expressions; their successors are in CONTRIBUTING.md and CHANGELOG.md.
# Everyday words are no part of it: each pattern is an identifier or a phrase that had one meaning.
RETIRED = {
    # names
    r"select_by_group|GroupSelection|GroupGuarantee|GroupRow\b|who_is_accepted": "..._subgroup",
    r"\bclusters\b": "groups",
    r"--per\b|\bper_?=|\bper_: ": "subgroups, --by",
    r"\bpopulations=|read_groups_of": "subgroups",
    r"\bKnots\b|\bknots\b|fit_knots": "IsotonicMap, isotonic map",
    r"--why\b|\bWhy\b(?=[(\]|`])|import .*\bWhy\b|\bwhy(\.\w|\[|: Why| = )|[\"']why[\"']": (
        "Explanation, explain"
    ),
    r"\bTrack\b|(?<!\")\btracks\b|\btrack\.": "EProcess, e-process",
    r"pick .*--by\b": "pick --criterion",
    r"recuse\.(report|tune|diagnose|overlap|ensemble|shards)\.[a-z_]+|"
    r"from recuse\.(report|tune|diagnose|overlap|ensemble|shards) import": "moved",
    r"recipes\.vision": "collect",
    r"\bLogitsFile\b|\bread_logits\b": "HeldOut, read",
    r"MissingExtra\(|class MissingExtra\b": "MissingExtraError",
    # words
    r"\bpromis(e|es|ed|ing)\b": "guarantee",
    r"\bjudged? by the same|\bjudge\(|_judge\b": "cross-fitted test",
    r"(gain|difference) (is|was|of .* was) (not )?shown|no gain .*\bshown|"
    r"not shown to be a gain": "significant",
    r"no look costs": "anytime-valid: look as often as you like",
    r"independent draws": "i.i.d.",
    r"(tune|calibrate) splits?\b(?!/)": "tuning split, calibration split",
    r"random row of a random group": "each group counts once",
    r"it is no test": "was used for calibration, so this is not an unbiased test",
    r"Of everything random": "Random seed",
}
# Where they may stay: what records them, what version 0.1 wrote, and this list.
SPARED = re.compile(
    r"CHANGELOG\.md|docs/decisions/|tests/version1/|tests/test_house\.py|version_?1"
)
SUFFIXES = {".py", ".md", ".js", ".j2", ".html", ".yml", ".toml"}


def exported(tree):
    """What `__all__` names; None without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def imported(name, tree):
    """Modules of recuse that are imported anywhere in it: in functions and TYPE_CHECKING, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: an import relative to its package"
            for one in node.names:
                found = f"{node.module}.{one.name}"
                found = found if found in MODULES else node.module
                if found in MODULES:
                    yield found


def circles(graph):
    """Groups of modules, each of which reaches each of the others by its imports."""
    reached = {name: reachable(graph, name) for name in graph}
    found = {frozenset(m for m in graph if m in reached[n] and n in reached[m]) for n in graph}
    return sorted(sorted(group) for group in found if group)


def reachable(graph, name):
    """Modules at the end of one import or more."""
    seen, left = set(), [name]
    while left:
        new = graph[left.pop()] - seen
        seen |= new
        left.extend(new)
    return seen


def retired(text):
    """(line, pattern, what stands there) of each retired word."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in RETIRED:
            for found in re.finditer(pattern, line):
                yield number, pattern, found.group()


def remaining():
    """(path, line, pattern, word) of each retired word that is left in the repository."""
    folders = ("src", "docs", "benchmarks", "tests")
    paths = [p for folder in folders for p in sorted((ROOT / folder).rglob("*"))]
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "mkdocs.yml", *paths]:
        place = path.relative_to(ROOT).as_posix()
        if path.suffix in SUFFIXES and not SPARED.search(place):
            for number, pattern, word in retired(path.read_text(encoding="utf-8")):
                yield place, number, pattern, word


def test_every_exported_name_stands_on_a_page():
    pages = (ROOT / "docs" / "api").glob("*.md")
    shown = re.findall(r"^::: ([\w.]+)$", "\n".join(map(text_of, pages)), re.MULTILINE)
    names = {module: exported(tree) for module, tree in TREES.items() if module != "recuse"}
    whole = {f"{m}.{name}" for m, listed in names.items() if m in shown for name in listed or ()}
    missing = [
        f"{module}.{name}"
        for module, listed in names.items()
        for name in listed or ()
        if f"{module}.{name}" not in {*shown, *whole}
    ]
    assert missing == []
    table = text_of(ROOT / "docs" / "api" / "index.md")
    assert [n for n in exported(TREES["recuse"]) if f"`{n}`" not in table] == []


def test_what_is_internal_exports_nothing():
    private = [m for m in TREES if re.search(r"\._(?!_)", m)]
    assert [m for m in private if exported(TREES[m]) is not None] == []
    kept = {n for n in (MODULES["recuse"].parent).iterdir() if n.name.startswith("_")}
    names = {n.name for n in kept} - {"__pycache__"}
    assert names == {"__init__.py", "__main__.py", "_internal", "_kernels", "_version.py"}


def test_no_import_leads_in_a_circle():
    graph = {name: set(imported(name, tree)) for name, tree in TREES.items()}
    assert circles(graph) == []


def test_a_circle_is_found():
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [["b", "c"], ["d"]]


def test_slow_tests_stand_in_files_that_exist():
    named = [line for line in text_of(ROOT / "tests" / "slow.txt").splitlines() if line[0] != "#"]
    assert named
    assert [n for n in named if not (ROOT / n.partition("::")[0]).exists()] == []


def test_no_package_bears_the_name_of_a_public_function():
    """`recuse.tune` once hid `recuse.tune`: an import would replace one by the other."""
    rooms = {name.split(".")[1] for name in MODULES if name.count(".") >= 1}
    offered = {n for n in exported(TREES["recuse"]) if n not in rooms}
    defined = {
        node.name
        for name, tree in TREES.items()
        if name.split(".")[-1].startswith("_") and name.count(".") == 2
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in exported(TREES["recuse"])
    }
    assert offered & rooms == defined & rooms == set()


def test_retired_words_are_gone():
    """`python tests/test_house.py -v` prints all of them."""
    left = [f"{place}:{number}: {word}" for place, number, _, word in remaining()]
    assert left[:20] == []


def test_a_retired_word_is_found():
    text = "the promise\nrecuse fit --per class\n"
    assert [(line, word) for line, _, word in retired(text)] == [(1, "promise"), (2, "--per")]


def text_of(path):
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    found = list(remaining())
    for place, number, _pattern, word in found:
        if "-v" in sys.argv:
            print(f"{place}:{number}: {word}")
    for pattern, count in Counter(pattern for *_, pattern, _ in found).most_common():
        print(f"{count:5}  {pattern[:60]}  ->  {RETIRED[pattern]}")
    for room, count in Counter("/".join(p.split("/")[:3]) for p, *_ in found).most_common(40):
        print(f"{count:5}  {room}")
    print(f"{len(found):5}  in all (-v: with their places)")
