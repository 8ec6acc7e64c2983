"""Wrong usage, interruption, and names of outputs: one line each, before any work is done."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import typer

from answers import one_line
from learnable import learnable
from recuse import cli, write_logits
from samples import log_softmax, sample

SPLITS = ("--tune", "tune.npz", "--calibrate", "calibrate.npz")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evaluate"], ["Missing argument 'files'", "see recuse evaluate --help"]),
        (["evaluate", "--nope"], ["No such option: --nope", "see recuse evaluate --help"]),
        (["nope"], ["No such command 'nope'", "see recuse --help"]),
        (["--nope"], ["--nope", "see recuse --help"]),
        (["pick"], ["NAME=FILE...", "see recuse pick --help"]),
        (["evaluate", "a.npz", "--score"], ["'--score'", "see recuse evaluate --help"]),
        (["split", "a.npz", "--seed", "-1"], ["'--seed'", "see recuse split --help"]),
        (["split", "a.npz", "--seed", "x"], ["'--seed'", "integer", "see recuse split --help"]),
        (
            ["fit", "--tune", "a.npz"],
            ["--tune and --calibrate, got --tune", "see recuse fit --help"],
        ),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_help_is(command, words, recuse):
    one_line(recuse(*command), *words)


def test_nothing_asked_for_and_help_asked_for_are_answered_at_length(recuse):
    code, out, err = recuse()
    assert (code, err) == (2, "")
    assert "Usage: recuse [OPTIONS] COMMAND" in out
    code, out, err = recuse("fit", "--help")
    assert (code, err) == (0, "")
    assert "Usage: recuse fit [OPTIONS]" in out
    assert "--target-risk" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_all_commands_is_that_of_each(name):
    *_, text = cli.COMMANDS[name]
    assert " ".join(cli.load(name).help.split("\n\n")[0].split()) == text


def test_the_help_has_one_group_for_each_question_with_an_example_that_runs(recuse):
    panels = {c.rich_help_panel for c in cli.Commands(name="recuse").commands.values()}
    assert panels == {f"{name}: {example}" for name, example in cli.GROUPS.values()}
    out = recuse("--help")[1]
    for name, example in cli.GROUPS.values():
        assert f"─ {name}: {example} ─" in out
        command, *words = example.split()[1:]
        cli.load(command).make_context(command, words, resilient_parsing=True)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_version_and_the_help_of_all_commands_import_none_of_them(option):
    code = "import sys; sys.argv[1:] = [{!r}]; from recuse.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code.format(option)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "recuse.cli" in done.stderr
    assert not re.search(r"numpy|recuse\.cli\.|recuse\.scores", done.stderr)


def outcome(process, *given):
    try:
        return process(*given)
    except typer.BadParameter as error:
        return type(error), error.format_message()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("fit", "target_risk"),
        ("fit", "seed"),
        ("fit", "tune"),
        ("fit", "objective"),
        ("fit", "learned"),
        ("fit", "groups"),
        ("evaluate", "score"),
        ("evaluate", "files"),
        ("monitor", "log"),
    ],
)
def test_words_are_converted_as_typer_converts_them(command, name, tmp_path, monkeypatch):
    loaded = cli.load(command)
    (param,) = (p for p in loaded.params if p.name == name)
    context, by_typer = typer.Context(loaded), type(param).process_value
    secret = tmp_path / "secret.npz"
    secret.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(secret))
    words = (
        "0.05",
        "1e-1",
        ".5",
        "5.",
        "-1",
        "+1",
        "nan",
        "1_0",
        "1",
        "07",
        "x",
        "",
        "٣",
        str(secret),
    )
    several = param.multiple or param.nargs == -1
    for value in (param.default, None, *([(word, "y") for word in words] if several else words)):
        found = outcome(param.process_value, context, value)
        expected = outcome(by_typer, param, context, value)
        assert repr(found) == repr(expected)  # nan and its type, too


def test_a_command_of_plain_words_imports_no_pydantic():
    code = "import sys; sys.argv[1:] = {!r}; from recuse.cli import main; main()"
    command = ["fit", "--tune", "a.npz", "--calibrate", "b.npz", "--target-risk", "0.1"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code.format(command)],
        capture_output=True,
        text=True,
    )
    assert "a.npz: no such file" in done.stderr
    assert "pydantic" not in done.stderr


def test_a_program_that_imports_recuse_keeps_its_own_interruption():
    usual = "signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    code = f"import signal, recuse; print({usual})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


OUTPUTS = [
    (["report", "--model", "a=none", "--out", "r.pdf"], "r.pdf: expected a name ending in .html"),
    (["report", "--model", "a=none", "--out", "x"], "x: expected a name ending in .html"),
    (["sketch", "none.npz", "--out", "s.json"], "s.json: expected a name ending in .npz"),
    (["merge", "none.npz", "--out", "s.json"], "s.json: expected a name ending in .npz"),
    (["split", "none.npz", "--out", "p.npz"], "p.npz: expected a folder, got the name of a .npz"),
    (["split", "none.npz", "--out", "f"], "f: expected a folder, got a file"),
    (["demo", "--out", "d.html"], "d.html: expected a folder, got the name of a .html"),
    (["demo", "--target-risk", "2"], "expected `target_risk` in (0, 1)"),
    (["demo", "--delta", "0.7"], "expected `delta` in"),
    (["demo", "--out", "f"], "f: expected a folder, got a file"),
    (["average", "none.npz", "no.npz", "--out", "m.csv"], "m.csv: expected a file ending in"),
    (["pick", "a=none.npz", "b=no.npz", "--chart", "c.txt"], "got c.txt"),
]


@pytest.mark.parametrize(("command", "words"), OUTPUTS)
def test_the_name_of_an_output_fits_what_is_written_before_anything_is_read(
    command, words, recuse, tmp_path
):
    (tmp_path / "f").touch()
    one_line(recuse(*command), words)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_shards_that_share_an_id_are_refused(recuse, tmp_path):
    z, y = sample(60)
    (tmp_path / "net").mkdir()
    for i, name in enumerate("ab"):
        ids = np.arange(60) + 59 * i
        write_logits(tmp_path / "net" / f"{name}.npz", z + i, y, ids=ids)
    for command in (
        ["diagnose", "net"],
        ["evaluate", "net"],
        ["average", "net", "net/a.npz", "--out", "m.npz"],
        ["split", "net", "--parts", "a=0.5,b=0.5", "--out", "parts"],
        ["sketch", "net", "--out", "s.npz"],
    ):
        one_line(
            recuse(*command), "net: expected shards of different", "id 59 in", "a.npz", "b.npz"
        )


@pytest.mark.parametrize("command", ["diagnose", "evaluate"])
def test_shards_of_equal_labels_are_pooled_with_a_warning(command, recuse, tmp_path):
    z, y = sample(60)
    (tmp_path / "net").mkdir()
    for i, labels in enumerate((y, np.roll(y, 1), y, np.zeros(60, int), np.zeros(60, int))):
        write_logits(tmp_path / "net" / f"{i}.npz", z + i, labels)
    code, _, err = recuse(command, "net")
    assert code == 0
    assert err.count("\n") == 1
    assert "recuse: warning: net: " in err
    assert "net/0.npz and net/2.npz have equal labels row by row" in err.replace(os.sep, "/")
    for i in (2, 4):
        (tmp_path / "net" / f"{i}.npz").unlink()
    assert recuse(command, "net")[2] == ""


def test_the_warning_of_probabilities_says_what_helps_in_this_command(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.npz", *sample(400, seed=seed))
    assert recuse("fit", *SPLITS, "--target-risk", 0.3)[0] == 0
    z, y = sample(400, seed=3)
    odds = np.exp(z.astype(np.float64))
    write_logits(tmp_path / "q.npz", odds / odds.sum(axis=1, keepdims=True), y)
    code, out, err = recuse("predict", "rejector.json", "q.npz")
    assert (code, out) == (2, "")
    assert err.startswith("recuse: q.npz: expected logits, as in the fit, got rows in [0, 1]")
    assert err.count("\n") == 1
    sketched = ["sketch", "q.npz", "--rejector", "rejector.json", "--out", "s.npz"]
    code, _, err = recuse(*sketched)
    assert code == 0
    assert err.startswith("recuse: warning: q.npz: every row of `logits` lies in [0, 1]")
    assert "its guarantee does not hold: give logits, or fit again with --probs" in err
    assert err.count("\n") == 1
    for command in (["evaluate", "q.npz"], ["sketch", "q.npz", "--out", "t.npz"]):
        assert "declare them by --probs" in recuse(*command)[2]


def test_log_probabilities_are_warned_of_where_the_score_of_a_rejector_can_tell(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate", "test")):
        z, y = learnable(1000, seed)
        write_logits(tmp_path / f"{name}.npz", z, y)
        write_logits(tmp_path / f"log-{name}.npz", log_softmax(z), y)
    commands = (
        ["predict", "rejector.json", "{}"],
        ["sketch", "{}", "--rejector", "rejector.json", "--out", "s.npz", "--force"],
    )
    for fitted, other in (("{}.npz", "log-{}.npz"), ("log-{}.npz", "{}.npz")):
        files = ("--tune", fitted.format("tune"), "--calibrate", fitted.format("calibrate"))
        fit = ("fit", *files, "--target-risk", 0.3, "--force")
        assert recuse(*fit)[0] == 0
        for command in commands:
            said = recuse(*(word.format(other.format("test")) for word in command))[2]
            assert said.startswith(f"recuse: warning: {other.format('test')}: `logits` holds ")
            assert said.count("\n") == 1
            assert "its guarantee does not hold" in said
            assert recuse(*(word.format(fitted.format("test")) for word in command))[2] == ""
        assert recuse(*fit, "--no-learned")[0] == 0
        for command in commands:
            assert recuse(*(word.format(other.format("test")) for word in command))[2] == ""


def test_logits_of_other_classes_are_no_input_of_a_rejector(recuse, tmp_path):
    for seed, name in enumerate(("tune", "calibrate")):
        write_logits(tmp_path / f"{name}.npz", *sample(400, seed=seed))
    write_logits(tmp_path / "other.npz", *sample(40, classes=4))
    assert recuse("fit", *SPLITS, "--target-risk", 0.3)[0] == 0
    for command in (
        ["predict", "rejector.json", "other.npz"],
        ["sketch", "other.npz", "--rejector", "rejector.json", "--out", "s.npz"],
    ):
        code, out, err = recuse(*command)
        assert (code, out) == (2, "")
        assert err == "recuse: other.npz: expected logits of 5 classes, as fitted, got 4\n"


def test_a_folder_that_holds_a_split_of_the_fit_is_no_test(recuse, tmp_path):
    (tmp_path / "all").mkdir()
    for seed, name in enumerate(("tune", "calibrate", "test")):
        write_logits(tmp_path / f"{name}.npz", *sample(400, seed=seed))
        if name != "tune":
            write_logits(tmp_path / "all" / f"{name}.npz", *sample(400, seed=seed))
    assert recuse("fit", *SPLITS, "--target-risk", 0.3)[0] == 0
    said = recuse("predict", "rejector.json", "all")[1].replace(os.sep, "/")
    assert "all/calibrate.npz was used for calibration, so this is not an unbiased test." in said
    assert "no test" not in recuse("predict", "rejector.json", "test.npz")[1]


def test_what_would_count_twice_is_refused(recuse, tmp_path):
    (tmp_path / "all").mkdir()
    write_logits(tmp_path / "all" / "a.npz", *sample(40))
    for command in (
        ["evaluate", "all/a.npz", "./all/a.npz"],
        ["mixture", "a=all/a.npz", "b=all"],
        ["mixture", "a=all/a.npz", "--ood", "b=all/a.npz"],
    ):
        one_line(recuse(*command), "a.npz is given twice")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["split", "a.npz", "--out", ""], ["a value after --out, got an empty one"]),
        (["split", "a.npz", "--out="], ["a value after --out, got an empty one"]),
        (["evaluate", ""], ["a value after evaluate, got an empty one"]),
        (["split", "a.npz", "--out", "text.txt/x"], ["text.txt is a file, expected a folder"]),
        (["evaluate", "a.npz", "--multilabel"], ["shape (40, 5), as `logits`, got (40,)"]),
        (["evaluate", "a.npz", "--probs"], ["rows that sum to 1, got ", "leave out --probs"]),
        (["report", "--model", "a=", "--out", "r.html"], ["--model NAME=FILE, got 'a='"]),
    ],
)
def test_what_is_wrong_is_said_as_it_is(command, words, recuse, tmp_path):
    write_logits(tmp_path / "a.npz", *sample(40))
    (tmp_path / "text.txt").write_text("text")
    one_line(recuse(*command), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "text.txt"]


def test_the_groups_of_a_rejector_come_from_a_table(recuse, tmp_path):
    sites = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(2000))
    (tmp_path / "sites.csv").write_text(f"id,site\n{sites}")
    for seed, name in enumerate(("tune", "calibrate")):
        ids = np.arange(1000) + 1000 * seed
        write_logits(tmp_path / f"{name}.npz", *sample(1000, seed=seed), ids=ids)
    assert recuse("fit", *SPLITS, "--target-risk", 0.3, "--by", "sites.csv")[0] == 0
    answer = recuse("predict", "rejector.json", "calibrate.npz", "--by", "class")
    expected = (
        "class: expected a column of subgroups or a .csv of id and subgroup; there is none of"
    )
    one_line(answer, expected)


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "a.csv"],
        ["evaluate", "a.csv", "--score", "margin"],
        ["compare", "a.csv", "a.csv"],
        ["sketch", "a.csv", "--out", "s.npz"],
        ["diagnose", "a.csv"],
        ["split", "a.csv", "--out", "parts"],
    ],
)
def test_a_csv_of_logits_is_read_as_it_is(command, recuse, tmp_path):
    z, y = sample(300)
    cells = [[*row, label] for row, label in zip(z.tolist(), y.tolist())]
    lines = [
        "logit_0,logit_1,logit_2,logit_3,logit_4,label",
        *(",".join(map(str, c)) for c in cells),
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    rc, _, err = recuse(*command)
    assert rc == 0
    said = "recuse: a.csv: 300 rows, commas between cells. Outputs: logits, 5 classes, columns"
    assert {line[: len(said)] for line in err.splitlines()} <= {said}
