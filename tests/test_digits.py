"""The demo's recipe and command, short."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from recuse import Rejector, fit, read
from recuse.io import HeldOut
from recuse.recipes import digits


@pytest.fixture(scope="module")
def run():
    return digits.train(0, (0.0, 0.2), steps=40)


def test_the_same_seed_gives_the_same_logits(run):
    again = digits.train(0, (0.0, 0.2), steps=40)
    for smoothing, splits in run.items():
        for name, split in splits.items():
            assert np.array_equal(split.logits, again[smoothing][name].logits)


def test_a_model_does_not_depend_on_those_trained_beside_it(run):
    alone = digits.train(0, (0.2,), steps=40)
    logits, beside = alone[0.2]["test"].logits, run[0.2]["test"].logits
    assert np.allclose(logits, beside, rtol=0, atol=1e-5)  # the order of sums may differ


def test_the_splits_share_no_image_and_cover_what_was_not_trained_on(run):
    groups = [set(split.groups) for split in run[0.0].values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 1797 - digits.TRAIN
    assert [len(g) for g in groups] == [200, 200, 797]
    ids = np.concatenate([split.ids for split in run[0.0].values()])
    assert len(set(ids)) == len(ids)


def test_the_models_do_not_depend_on_the_number_of_noisy_copies(monkeypatch):
    monkeypatch.setattr(digits, "NOISE", 0.0)  # copies are then alike, and tell models apart
    found = []
    for copies in (1, 3):
        monkeypatch.setattr(digits, "REPLICATES", copies)
        found.append(digits.train(0, (0.2,), steps=5)[0.2]["tune"].logits[::copies])
    assert np.allclose(*found, rtol=0, atol=1e-5)  # the order of sums may differ


def test_training_leaves_the_global_state_alone():
    import torch

    torch.manual_seed(1)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    digits.train(0, (0.0,), steps=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_the_models_differ_in_their_smoothing_alone(run):
    plain, smoothed = run[0.0]["test"], run[0.2]["test"]
    assert np.array_equal(plain.ids, smoothed.ids)
    assert np.array_equal(plain.labels, smoothed.labels)
    assert not np.array_equal(plain.logits, smoothed.logits)


def test_the_demo_writes_what_it_says_and_the_same_numbers_twice(tmp_path, monkeypatch, capsys):
    from recuse.cli.demo import demo

    monkeypatch.setattr(digits, "STEPS", 60)
    monkeypatch.setattr(digits, "REPLICATES", 4)
    outputs = []
    for folder in ("a", "b"):
        demo(tmp_path / folder, seeds=2, target_risk=0.6, delta=0.1, seed=5, as_json=True,
             quiet=True)  # fmt: skip
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    data = json.loads(outputs[0])
    held_out = [read(tmp_path / f"a/logits/label-smoothing-{split}.safetensors")
                for split in ("tune", "calibrate")]  # fmt: skip
    rows = HeldOut(*(np.concatenate([getattr(f, column) for f in held_out])
                     for column in ("logits", "labels", "groups", "ids")))  # fmt: skip
    rejector = Rejector.load(tmp_path / "a/rejector.json")
    assert rejector == fit(rows, target_risk=0.6, delta=0.1, seed=5)
    assert rejector.guarantee.n == 400
    shown = (tmp_path / "a/report.html").read_text(encoding="utf-8")
    guarantee = next(line for line in data["story"] if line.startswith("Guarantee: With 90 %"))
    for text in (" ".join(data["story"]), shown.replace("\u00a0", " ")):
        assert guarantee in text
        assert "All 400 groups choose the threshold; none is set aside to tune a score." in text
    assert re.search(r"Test part: .* answered, .* of them wrong", " ".join(data["story"]))
    assert data["seeds"] == [5, 6]
    assert {name: len(runs) for name, runs in data["models"].items()} == {
        "cross-entropy": 2, "label-smoothing": 2
    }  # fmt: skip
    names = {p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*.*")}
    assert names == {
        "report.html",
        "rejector.json",
        *(f"logits/{model}-{split}.safetensors"
          for model in ("cross-entropy", "label-smoothing")
          for split in ("tune", "calibrate", "test")),
    }  # fmt: skip


@pytest.mark.parametrize("package", ["torch", "sklearn"])
def test_the_demo_without_its_extra_says_in_one_line_what_to_install(package, tmp_path):
    code = (
        f"import sys; sys.modules['{package}'] = None; sys.argv = ['recuse', 'demo']\n"
        "from recuse.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"recuse: the digits recipe needs {package}: pip install 'recuse[train]'"
    ]
    assert not list(tmp_path.iterdir())
