import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

import recuse as rc
from recuse.present import terminal as shown

SMALL = ("train", "digits-pairs", "--only", "0,1,2,10,11,12,20,21,22", "--epochs", 1)


def test_training_ends_in_a_report(recuse, tmp_path):
    code, out, err = recuse(*SMALL, "--smoothing", "0,0.2", "--out", "run")
    assert code == 0
    assert "training cross-entropy, seed 0 (1 of 2)" in err
    assert "training smoothing-0.2, seed 0 (2 of 2)" in err
    assert "smoothing-0.2 against cross-entropy: accuracy" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "MLP on pairs of digits, 100 classes: seed 0" in page
    assert "Risk and coverage" in page
    for name in ("cross-entropy", "smoothing-0.2"):
        file = rc.read(tmp_path / "run" / name / "seed-0" / "test.safetensors")
        assert file.logits.shape[1] == 9

    code, out, err = recuse(*SMALL, "--smoothing", "0,0.2", "--out", "run", "--json")
    assert (code, err) == (0, "")  # nothing is trained again
    answer = json.loads(out)
    assert answer["seeds"] == [0]
    assert list(answer["models"]) == ["cross-entropy", "smoothing-0.2"]

    margin = ("--loss", "margin_smoothing", "--smoothing", "0.2", "--out", "run", "--json")
    models = json.loads(recuse(*SMALL, *margin)[1])["models"]
    assert list(models) == ["cross-entropy", "smoothing-0.2", "margin-0.2"]

    code, out, err = recuse(*SMALL[:-1], 2, "--smoothing", "0,0.2", "--out", "run")
    assert (code, out) == (2, "")
    assert "holds a run with epochs = 1, got 2" in err

    code, out, err = recuse("report", "--model", "a=run/smoothing-0.2/seed-0", "--out", "a.html")
    assert code == 1  # the network of one epoch has no threshold


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "alexnet"], "expected a recipe of digits, digits-pairs, "),
        (["train", "cifar10-resnet20"], "expected a folder with train-*.parquet"),
        (["train", "cifar10-resnet20", "--data", "nowhere"], "got no nowhere"),
        (["train", "cifar10-resnet20", "--label-noise", "0.2"], "expected --label-noise with"),
        (["train", "digits-pairs", "--smoothing", "a lot"], "expected numbers for --smoothing"),
        (["train", "digits-pairs", "--smoothing", "nan"], "finite numbers"),
        (["train", "digits-pairs", "--loss", "hinge"], "expected a loss of label_smoothing"),
        (["train", "digits-pairs", "--order", "random"], "expected `order` shuffled or sorted"),
        (["train", "digits-pairs", "--only", "7"], "expected `classes`"),
        (["train", "digits-pairs", "--only", "1.5,2"], "whole numbers, got 1.5"),
        (["train", "digits-pairs", "--target-risk", "5"], "expected `target_risk` in (0, 1)"),
        (["train", "digits-pairs", "--data", "mine"], "expected no --data with digits-pairs"),
        (["train", "digits-pairs", "--delta", "2"], "expected `delta` in"),
        (["train", "digits-pairs", "--smoothing", "0,2"], "at most 1, where nothing"),
        (
            ["train", "digits-pairs", "--loss", "max_suppression", "--smoothing", "0,-0.1"],
            "expected `smoothing` to be a finite number of at least 0, got -0.1",
        ),
        (["train", "digits-pairs", "--accelerator", "abacus"], "invalid accelerator name"),
        (["train", "digits-pairs", "--precision", "exact"], "Precision 'exact' is invalid"),
        (["train", "digits-pairs", "--precision", "bf16"], "expected `precision` bf16-mixed"),
        (["train", "digits-pairs", "--devices", "3"], "3 processes can share evenly"),
        (["train", "bank-marketing-mlp", "--loss", "max_suppression"], "with one logit"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(recuse, tmp_path, arguments, words):
    code, out, err = recuse(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_commands_load_no_torch():
    code = "import recuse.cli, sys; print([m for m in ('torch', 'lightning') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sent", "devices", "code"),
    [(signal.SIGTERM, 1, 143), (signal.SIGINT, 1, 130), (signal.SIGINT, 2, 130)],
)
def test_a_stopped_training_says_how_to_go_on(tmp_path, sent, devices, code):
    command = [sys.executable, "-m", "recuse", *map(str, SMALL[:-1]), "500", "--smoothing", "0.2"]
    command += ["--devices", str(devices), "--accelerator", "cpu", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None and not list(tmp_path.rglob("last.ckpt")):
                time.sleep(0.1)
            process.send_signal(sent)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == code
    assert err.splitlines()[-1] == "recuse: stopped; the same command resumes the run"
    assert "Traceback" not in err
    assert list(tmp_path.rglob("last.ckpt"))
    assert not list(tmp_path.rglob("model.safetensors"))


def test_recipes_are_listed(recuse):
    code, out, _ = recuse("recipes")
    assert code == 0
    for name in ("digits-pairs", "cifar10-resnet20", "imagenet-vit-s16-sam", "imdb-lstm"):
        assert f"{name}: " in out
    assert "weight decay 0.01, which the paper does not give" in out
    listed = json.loads(recuse("recipes", "--json")[1])
    ours = {recipe["name"] for recipe in listed if not recipe["differs"]}
    assert ours == {"digits", "digits-pairs", "camvid-deeplab"}
    assert {"name", "data", "cost", "reference"} <= set(listed[0])
    assert all(recipe["cost"] and recipe["reference"] for recipe in listed)


def test_long_work_says_so_on_a_terminal_alone(monkeypatch, capsys):
    def screen(*, stderr=False):
        return Console(stderr=stderr, force_terminal=terminal, width=80)

    monkeypatch.setattr(shown, "console", screen)
    for terminal, quiet in ((True, False), (True, True), (False, False)):
        with shown.working("[bold]choosing", quiet=quiet):
            pass
        err = capsys.readouterr().err
        assert ("[bold]choosing" in err) == (terminal and not quiet)
