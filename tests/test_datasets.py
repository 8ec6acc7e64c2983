"""The outputs that ship, and `recuse example`, which writes them."""

import shlex
import subprocess
import sys

import numpy as np
import pytest

import recuse as rc
from answers import one_line, plain
from recuse.datasets import imagenet_lite2
from recuse.datasets._imagenet import FILE

DIGEST = "sha256:34552e62184046523a7816d86cf78df765a11541f13ad41ceada2c8f023d1f5f"
CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def test_the_file_holds_500_rows_of_ten_classes():
    file = imagenet_lite2()
    assert (file.name, file.kind, file.digest) == ("imagenet_lite2", "logits", DIGEST)
    assert (file.logits.shape, file.logits.dtype) == ((500, 1000), np.float16)
    assert file.model.startswith("timm:tf_efficientnet_lite2 sha256:")
    assert len(set(file.ids)) == 500
    assert all(np.unique(file.labels, return_counts=True)[1] == 50)
    named = {(i.split("/")[0], file.class_names[k]) for i, k in zip(file.ids, file.labels)}
    assert dict(named) == CLASSES
    assert len(named) == len(CLASSES)
    assert FILE.stat().st_size < 1.2e6


def test_its_first_numbers():
    file = imagenet_lite2()
    msp, norm = (s(file.logits) for s in (rc.scores.msp, norm_of_order_8))
    assert file.loss.sum() == 130
    assert 1000 * rc.aurc(msp, file.loss) == pytest.approx(87.02, abs=0.005)
    assert 1000 * rc.aurc(norm, file.loss) == pytest.approx(74.06, abs=0.005)
    found = [rc.coverage_at_risk(c, file.loss, 0.01) for c in (msp, norm)]
    assert found == [0.204, 0.358]


def norm_of_order_8(logits):
    return rc.scores.logit_norm(logits, p=8, center=True)


def test_every_error_is_a_class_that_no_label_names():
    file = imagenet_lite2()
    outside = ~np.isin(file.predicted, file.labels)
    np.testing.assert_array_equal(outside, file.loss)


def test_it_is_read_without_torch():
    code = "import recuse as rc, sys; rc.datasets.imagenet_lite2(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("out", ["held-out.npz", "held-out.parquet", "folder"])
def test_the_command_writes_it_in_every_format_that_holds_text(recuse, tmp_path, out):
    if out.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    assert recuse("example", "--out", out)[0] == 0
    file, whole = rc.read(tmp_path / out), imagenet_lite2()
    assert (file.digest, file.class_names, file.model) == (DIGEST, whole.class_names, whole.model)
    np.testing.assert_array_equal(file.ids, whole.ids)


def test_the_next_command_that_it_prints_runs(recuse):
    code, out, err = recuse("example", "--out", "held-out.npz")
    first, second, third = out.splitlines()
    assert (code, err) == (0, "")
    assert first == "Written to held-out.npz: 500 rows, 1,000 classes, accuracy 74.0 %."
    assert "EfficientNet-Lite2" in second
    code, out, _ = recuse(*shlex.split(third.removeprefix("Next: recuse ")))
    assert code == 0
    assert "Training: Label smoothing" in out
    assert "With 95 % confidence, at most 10 % of accepted predictions are wrong" in out


def test_the_command_overwrites_only_when_told(recuse, tmp_path):
    (tmp_path / "a.npz").write_text("kept")
    one_line(recuse("example", "--out", "a.npz"), "a.npz exists: give --force to overwrite it")
    code, out, _ = recuse("example", "--out", "a.npz", "--force", "--json")
    told = plain(out)
    assert code == 0
    assert (told["n"], told["classes"], told["accuracy"]) == (500, 1000, 0.74)
    assert rc.read(tmp_path / "a.npz").digest == DIGEST


def test_a_format_without_text_is_refused(recuse, tmp_path):
    one_line(recuse("example", "--out", "a.safetensors"), "write .npz or .parquet")
    assert not list(tmp_path.iterdir())
