"""`recuse logits` on small folders, with models of a file and of timm."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from answers import one_line, plain
from recuse import read
from recuse.collect import _collect as _folder
from reference_vision import prepared

torch = pytest.importorskip("torch", reason="needs the extra torch")
Image = pytest.importorskip("PIL.Image", reason="needs pillow")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"  # from Python 3.12 on
)
NET = """
import torch
from numpy import asarray

print("loading")

def pixels(image):
    return torch.tensor(asarray(image.resize((4, 4)))).permute(2, 0, 1) / 255

def linear(outputs=4):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, outputs))

def model():
    return linear(), pixels

def five():
    return linear(5), pixels

def column():
    return linear(1), pixels

def maps():
    return torch.nn.Conv2d(3, 4, 1), pixels

def unequal():
    return linear(), lambda image: torch.ones(3, 4, 4 + image.width % 2)

def small():
    return torch.nn.Linear(5, 4), pixels

def array():
    return linear(), asarray

def bare():
    return linear()

def late():
    class Late(torch.nn.Module):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("out of memory")
            return x.flatten(1)[:, :4]
    return Late(), pixels

def half():
    return linear().bfloat16(), lambda image: pixels(image).bfloat16()

def number():
    return 3
"""
CLASSES = {"ant": 5, "bee": 4, "cat": 0, "dog": 6}
COMMAND = ("logits", "net.py:model", "--data", "data", "--out", "a.npz", "--workers", "0")


@pytest.fixture
def files(tmp_path, tree):
    """A folder of classes, one of images alone, and the user's file."""
    (tmp_path / "net.py").write_text(NET)
    tree("data", CLASSES)
    tree("plain", 7)


def expected(root, ids):
    """Logits of net.py:model, one image at a time."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 4)
    rows = []
    for name in ids:
        x = np.asarray(Image.open(root / name).resize((4, 4)), np.float32) / 255
        with torch.no_grad():
            rows.append(linear(torch.tensor(x.transpose(2, 0, 1).ravel())).numpy())
    return np.array(rows)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("out", ["a.npz", "a.parquet", "folder"])
def test_the_file_holds_logits_labels_and_names(recuse, files, tmp_path, out, workers, monkeypatch):
    if out == "a.parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    monkeypatch.setattr(_folder, "SHARD", 100)  # 6 rows, so that there are several shards
    code, said, err = recuse(
        *COMMAND[:4], "--out", out, "--workers", workers, "--batch-size", 3
    )  # fmt: skip
    assert (code, err) == (0, "loading\n")
    file = read(tmp_path / out)
    ids = [f"{name}/{i}.png" for name, n in CLASSES.items() for i in range(n)]
    assert file.ids.tolist() == ids
    assert file.labels.tolist() == [0] * 5 + [1] * 4 + [3] * 6
    np.testing.assert_allclose(file.logits, expected(tmp_path / "data", ids), rtol=1e-5, atol=1e-6)
    accuracy = (file.logits.argmax(axis=1) == file.labels).mean()
    assert f"Written to {out}: 15 images, 4 classes, accuracy {100 * accuracy:.1f} %." in said
    assert f"Next: recuse diagnose {out}\n" in said
    if out == "folder":
        assert sorted(os.listdir(tmp_path / out)) == ["00000.npz", "00001.npz", "00002.npz"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize("out", ["a.npz", "folder"])
def test_images_without_folders_have_no_labels(recuse, files, tmp_path, out):
    code, said, _ = recuse(*COMMAND[:2], "--data", "plain", "--out", out, "--workers", 0)
    file = read(tmp_path / out)
    assert (code, file.labels, len(file)) == (0, None, 7)
    assert file.ids.tolist() == [f"{i}.png" for i in range(7)]
    assert f"7 images, 4 classes, no labels.\n" in said  # noqa: F541
    assert f"Next: recuse predict rejector.json {out}\n" in said
    np.testing.assert_allclose(
        file.logits, expected(tmp_path / "plain", file.ids), rtol=1e-5, atol=1e-6
    )


def test_programs_get_json_and_a_limit_leaves_no_class_out(recuse, files, tmp_path):
    code, out, _ = recuse(*COMMAND, "--limit", 3, "--json")
    found = plain(out)
    assert code == 0
    assert (found["n"], found["classes"], found["model"]) == (3, 4, "net.py:model")
    assert found["about"] == "weights of net.py:model; images by its own transform"
    assert read(tmp_path / "a.npz").labels.tolist() == [0, 1, 3]
    assert recuse(*COMMAND, "--quiet", "--force")[:2] == (0, "")
    assert len(read(tmp_path / "a.npz")) == 15


def test_a_class_map_names_the_output_of_each_folder(recuse, files, tmp_path):
    (tmp_path / "map.csv").write_text("folder,index\nant,4\nbee,0\ncat,1\ndog,2\n")
    five = ("logits", "net.py:five", *COMMAND[2:])
    assert recuse(*five, "--class-map", "map.csv")[0] == 0
    file = read(tmp_path / "a.npz")
    assert (file.labels.tolist(), file.logits.shape) == ([4] * 5 + [0] * 4 + [2] * 6, (15, 5))


def test_a_checkpoint_replaces_the_weights(recuse, files, tmp_path):
    torch.manual_seed(7)
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4))
    torch.save({"state_dict": other.state_dict()}, tmp_path / "w.pt")
    assert "weights of w.pt" in recuse(*COMMAND, "--checkpoint", "w.pt", "--json")[1].lower()
    first = Image.open(tmp_path / "data" / "ant" / "0.png").resize((4, 4))
    x = torch.tensor(np.asarray(first)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        np.testing.assert_allclose(
            read(tmp_path / "a.npz").logits[:1], other(x).numpy(), rtol=1e-5, atol=1e-6
        )


BAD = [
    (("--out", "a.safetensors"), ("a.safetensors: ", ".npz or .parquet", "holds no text")),
    (("--out", "a.csv"), ("a.csv: expected a name ending in .npz or .parquet", "got .csv")),
    (("--out", "net.py"), ("net.py exists: give --force",)),
    (("--out", "data/a.npz"), ("data/a.npz would be part of the input data",)),
    (("--out", "plain", "--force"), ("plain: expected a folder of shards to overwrite, got",)),
    (("--data", "nowhere"), ("nowhere: no such folder",)),
    (("--device", "abacus"), ("expected --device such as cpu or cuda:0, got abacus",)),
    (("--class-map", "none.csv"), ("none.csv: no such file",)),
    (("--pretrained",), ("--pretrained is for timm:NAME",)),
    (("--checkpoint", "none.pt", "--pretrained"), ("expected --pretrained or --checkpoint",)),
]  # fmt: skip
MODELS = [
    ("five", ("expected 5 class folders, one for each output of the model, got 4", "--class-map")),
    ("column", ("logits of net.py:column with K >= 2 classes",)),
    ("maps", ("expected logits of shape (1, K) for one image, got (1, 4, 4, 4)",)),
    ("small", ("net.py:small: the model fails on images of shape (1, 3, 4, 4)",)),
    ("late", ("net.py:late: the model fails on images of shape (15, 3, 4, 4): out of memory",)),
    ("array", ("net.py:array: expected a transform to a tensor (c, h, w), got ndarray",)),
    ("number", ("expected a torch module, or (module, transform), got int",)),
    ("nothing", ("net.py: expected a function 'nothing', got none",)),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_options_are_one_line_and_nothing_is_written(recuse, files, tmp_path, options, words):
    before = sorted(tmp_path.rglob("*"))
    one_line(recuse(*COMMAND, *options), *words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("function", "words"), MODELS)
def test_a_model_that_does_not_fit_is_said_before_the_images_are_read(
    recuse, files, tmp_path, function, words
):
    code, out, err = recuse("logits", f"net.py:{function}", *COMMAND[2:])
    one_line((code, out, err.removeprefix("loading\n")), *words)
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("out", ["a.npz", "folder"])
def test_an_image_that_cannot_be_read_ends_the_run_and_what_was_collected_is_said(
    recuse, files, tmp_path, out, workers, monkeypatch
):
    monkeypatch.setattr(_folder, "SHARD", 100)
    (tmp_path / "data" / "dog" / "3.png").write_bytes(b"no image")
    before = sorted(tmp_path.rglob("*"))
    options = ("--out", out, "--workers", workers, "--batch-size", 2)
    code, said, err = recuse(*COMMAND[:4], *options)
    words = ("recuse: data/dog/3.png: expected an image, got",)
    kept = f"{out}.partial"
    one_line((code, said, err.removeprefix("loading\n")), *words, f" before it are in {kept}")
    new = {p for p in tmp_path.rglob("*") if "__pycache__" not in str(p)} - {*before}
    assert {p.relative_to(tmp_path).parts[0] for p in new} == {kept}
    (tmp_path / kept).rename(tmp_path / f"kept{'.npz' * (out == 'a.npz')}")
    ids = read(tmp_path / f"kept{'.npz' * (out == 'a.npz')}").ids.tolist()
    assert len(ids) > 0
    assert "dog/3.png" not in ids


def test_half_precision_that_no_format_with_text_holds_becomes_float32(recuse, files, tmp_path):
    assert recuse("logits", "net.py:half", *COMMAND[2:])[0] == 0
    z = read(tmp_path / "a.npz").logits
    assert z.dtype == np.float32
    assert torch.equal(torch.tensor(z).bfloat16().float(), torch.tensor(z))


def test_a_transform_must_give_one_size(recuse, files, tree):
    tree("data", {"dog": 1}, size=(41, 30))
    code, out, err = recuse("logits", "net.py:unequal", *COMMAND[2:], "--workers", 2)
    line = err.removeprefix("loading\n")
    one_line(
        (code, out, line), "expected images of one size", "(3, 4, 4)", "(3, 4, 5)", "dog/0.png"
    )


def test_an_existing_folder_of_shards_is_overwritten_with_force_only(recuse, files, tmp_path):
    folder = (*COMMAND[:4], "--out", "folder", "--workers", 0)
    assert recuse(*folder)[0] == 0
    one_line(recuse(*folder), "folder exists: give --force")
    assert recuse(*folder, "--force", "--limit", 2)[0] == 0
    assert len(read(tmp_path / "folder")) == 2


def in_process(arguments, tmp_path, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "recuse", *map(str, arguments)],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("out", ["a.npz", "folder"])
def test_an_interrupted_run_leaves_what_it_collected_under_another_name(files, tmp_path, out):
    (tmp_path / "slow.py").write_text(
        "import time, net\n"
        "def pixels(image):\n"
        "    print('read', flush=True)\n"
        "    time.sleep(0.2)\n"
        "    return net.pixels(image)\n"
        "def model():\n"
        "    return net.linear(), pixels\n"
    )
    before = {p.name for p in tmp_path.iterdir()}
    options = ("--data", "data", "--out", out, "--workers", "0", "--batch-size", "2")
    run = subprocess.Popen(
        [sys.executable, "-B", "-m", "recuse", "logits", "slow.py:model", *options],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(5):  # "loading", then one line for each image that was read
        run.stderr.readline()
    run.send_signal(signal.SIGINT)
    rest = run.communicate()[1]
    assert run.returncode == 130
    assert set(rest.splitlines()) <= {"read"}
    assert {p.name for p in tmp_path.iterdir()} - before <= {f"{out}.partial"}


def test_help_needs_no_torch(tmp_path):
    for module in ("torch", "PIL", "timm"):
        (tmp_path / f"{module}.py").write_text(f"raise ImportError('no {module}')\n")
    code, out, err = in_process(("logits", "--help"), tmp_path, PYTHONPATH=str(tmp_path))
    assert (code, err) == (0, "")
    assert "--class-map" in out


@pytest.mark.parametrize("missing", ["torch", "PIL", "timm"])
def test_a_missing_package_is_one_line_that_names_the_extra(files, tmp_path, missing):
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / f"{missing}.py").write_text("raise ImportError('none')\n")
    command = ("logits", "timm:resnet10t", *COMMAND[2:])
    answer = in_process(command, tmp_path, PYTHONPATH=str(tmp_path / "absent"))
    one_line(answer, f"needs {missing}: pip install 'recuse[vision]'")


def test_a_torchvision_for_another_torch_is_one_line(files, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "timm.py").write_text("raise RuntimeError('operator does not exist')\n")
    command = ("logits", "timm:resnet10t", *COMMAND[2:])
    answer = in_process(command, tmp_path, PYTHONPATH=str(tmp_path / "broken"))
    one_line(answer, "timm cannot be imported (operator does not exist): expected a torchvision")


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="needs timm: make test-vision has it")


def saved(timm, tmp_path, name="resnet10t", **options):
    torch.manual_seed(3)
    model = timm.create_model(name, **options).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    return model


def test_a_model_of_timm_sees_the_images_as_its_configuration_says(recuse, timm, tree, tmp_path):
    model = saved(timm, tmp_path, num_classes=3)
    root = tree("data", {"a": 2, "b": 1, "c": 1}, size=(250, 221))
    timm_resnet = ("logits", "timm:resnet10t", "--checkpoint", "w.pt", *COMMAND[2:])
    code, out, err = recuse(*timm_resnet)
    assert (code, err) == (0, "")
    assert "Weights of w.pt; images at 176 x 176, center crop 0.875, bicubic" in out
    config = model.pretrained_cfg
    file = read(tmp_path / "a.npz")
    for row in (0, 3):
        image = Image.open(root / file.ids[row])
        x = prepared(image, 176, 0.875, config["mean"], config["std"], Image.Resampling.BICUBIC)
        with torch.no_grad():
            z = model(torch.tensor([x], dtype=torch.float32))
        np.testing.assert_allclose(file.logits[row], z[0], rtol=1e-4, atol=1e-5)


def test_the_outputs_of_a_checkpoint_are_found_in_its_last_layer(recuse, timm, files, tmp_path):
    saved(timm, tmp_path, "vit_tiny_patch16_224", num_classes=4)
    code, out, _ = recuse(
        "logits", "timm:vit_tiny_patch16_224", "--checkpoint", "w.pt", *COMMAND[2:]
    )
    assert (code, "15 images, 4 classes" in out) == (0, True)
    answer = recuse("logits", "timm:resnet10t", "--checkpoint", "w.pt", *COMMAND[2:], "--force")
    one_line(answer, "w.pt: expected the weights of the model, got", "missing (conv1.0.weight")


def test_random_weights_are_the_same_each_time_and_said_to_be_random(recuse, timm, tree, tmp_path):
    tree("data", {"n01440764": 1, "n02102040": 2})
    command = ("logits", "timm:resnet10t", "--no-pretrained", "--class-map", "imagenet-1k")
    files = []
    for out in ("a.npz", "b.npz"):
        code, said, _ = recuse(*command, "--data", "data", "--out", out, "--workers", 0)
        assert (code, "Random weights; images at 176 x 176" in said) == (0, True)
        files.append(read(tmp_path / out))
    assert files[0].labels.tolist() == [0, 217, 217]
    np.testing.assert_array_equal(files[0].logits, files[1].logits)


def test_without_a_network_one_line_says_what_else_there_is(timm, files, tmp_path):
    command = ("logits", "timm:resnet10t", *COMMAND[2:])
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    answer = in_process(command, tmp_path, **offline)
    one_line(answer, "timm:resnet10t: no weights", "--checkpoint FILE, or --no-pretrained")
    assert not (tmp_path / "a.npz").exists()


def test_an_unknown_model_is_one_line(recuse, timm, files):
    one_line(recuse("logits", "timm:resnet5", *COMMAND[2:]), "did you mean resnet")
    one_line(
        recuse("logits", "resnet50", *COMMAND[2:]), "timm:NAME or path.py:function", "'resnet50'"
    )


def test_a_module_of_the_user_without_a_transform_is_prepared_by_timms_defaults(
    recuse, timm, files, tmp_path
):
    (tmp_path / "pool.py").write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    pool = torch.nn.AdaptiveAvgPool2d(1)\n"
        "    return torch.nn.Sequential(pool, torch.nn.Flatten(), torch.nn.Linear(3, 4))\n"
    )
    code, out, _ = recuse("logits", "pool.py:net", *COMMAND[2:])
    assert code == 0
    assert "images at 224 x 224, center crop 0.875, bicubic, mean (0.485, 0.456, 0.406)" in out
