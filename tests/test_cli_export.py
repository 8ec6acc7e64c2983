import json

import numpy as np
import pytest

import recuse as rc
from answers import one_line, plain
from samples import sample

torch = pytest.importorskip("torch", reason="needs the extra torch")
for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx")

FITTED = rc.fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2)
NET = """
from pathlib import Path

import torch

print("loading", Path(__file__).name)

def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))

def text():
    return torch.nn.EmbeddingBag(9, 5)

def four():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))

def fails():
    raise OSError("no weights\\nat all")

def number():
    return 3

def exits():
    raise SystemExit(0)

constant = 3
"""
COMMAND = ("export", "r.json", "--model", "net.py:model", "--example", "1,3,2,2", "--out", "m.onnx")


@pytest.fixture
def files(tmp_path):
    """A rejector and the user's file."""
    FITTED.save(tmp_path / "r.json")
    (tmp_path / "net.py").write_text(NET)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3, 2, 2)))


def run(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def test_a_model_becomes_a_file_that_decides(recuse, files, tmp_path):
    code, out, err = recuse(*COMMAND)
    assert (code, err) == (0, "loading net.py\n")
    assert "Written to m.onnx" in out
    assert str(FITTED.guarantee) in " ".join(out.split())
    assert "0 of 17 decisions differ" in out
    x = np.load(tmp_path / "x.npy").astype(np.float32)
    logits, label, confidence, accept, _ = run(tmp_path / "m.onnx", x)
    expected = FITTED.predict(logits)
    for ours, theirs in zip((label, confidence, accept), expected):
        np.testing.assert_array_equal(ours, theirs)
    assert rc.export.read_metadata(tmp_path / "m.onnx").rejector == FITTED
    assert recuse(*COMMAND, "--force", "--quiet")[:2] == (0, "")


def test_decisions_on_real_inputs_are_counted(recuse, files):
    code, out, _ = recuse(*COMMAND, "--check", "x.npy", "--json")
    found = plain(out)
    assert (code, found["predictions"], found["decisions"], found["changed"]) == (0, 50, 0, 0)
    assert found["logits"] < 1e-5
    assert found["rejector"] == json.loads(json.dumps(FITTED.to_dict()))


def test_inputs_of_integers(recuse, files, tmp_path):
    command = ("export", "r.json", "--model", "net.py:text", "--example", "2,7:int64")
    assert recuse(*command)[0] == 0
    assert run(tmp_path / "model.onnx", np.ones((3, 7), np.int64))[1].shape == (3,)


def test_a_file_that_decides_otherwise_is_not_written(recuse, files, tmp_path, monkeypatch):
    parity = rc.export.Parity(17, 2, 1, 0.0, 2)
    monkeypatch.setattr(rc.export, "check_onnx", lambda *_: parity)
    code, out, err = recuse(*COMMAND)
    assert (code, out) == (1, "")
    assert "not written: 2 of 17 decisions differ" in err
    assert not (tmp_path / "m.onnx").exists()


def with_(**changes):
    """The command with other values."""
    options = dict(zip(COMMAND[2::2], COMMAND[3::2])) | {f"--{k}": v for k, v in changes.items()}
    return ("export", "r.json", *(part for pair in options.items() for part in pair))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (with_(model="net.py"), ["--model path.py:function, got 'net.py'"]),
        (with_(model="none.py:model"), ["none.py: no such file"]),
        (with_(model="net.py:other"), ["a function 'other', got none"]),
        (with_(model="net.py:constant"), ["a function 'constant', got none"]),
        (with_(model="net.py:fails"), ["net.py:fails raised OSError: no weights at all"]),
        (with_(model="net.py:number"), ["net.py:number: expected a torch.nn.Module, got int"]),
        (with_(model="net.py:exits"), ["net.py:exits raised SystemExit: 0"]),
        (with_(model="bad.py:model"), ["raised SyntaxError"]),
        (with_(model="net.py:four"), ["logits of shape (n, 5, ...)", "got (1, 4)"]),
        (with_(example="1,3,4,4"), ["the model fails on --example"]),
        (with_(example="1,x"), ["--example 1,3,32,32", "got '1,x'"]),
        (with_(example="0,3"), ["--example 1,3,32,32", "got '0,3'"]),
        (with_(example="1,3:complex64"), ["a dtype among float16", "got '1,3:complex64'"]),
        (with_(out="m.pt", model="none.py:model"), ["m.pt: expected a name ending in .onnx"]),
        (with_(out="old.onnx", check="old.onnx"), ["old.onnx is an input"]),
        (with_(out="old.onnx"), ["old.onnx exists", "--force"]),
        (with_(check="none.npy"), ["none.npy: no such file"]),
        (with_(check="r.json"), ["r.json: expected inputs in .npy, which this is not"]),
        (with_(check="flat.npy"), ["flat.npy: expected inputs like (1, 3, 2, 2), got (4,)"]),
        ((*with_(check="x.npy"), "--check", "x.npy"), ["once for each of 1 inputs, got 2"]),
        (("export", "net.py", *COMMAND[2:]), ["net.py: expected a rejector"]),
    ],
)
def test_what_cannot_be_exported_is_one_line(command, words, recuse, files, tmp_path):
    (tmp_path / "bad.py").write_text("def")
    (tmp_path / "old.onnx").write_text("old")
    np.save(tmp_path / "flat.npy", np.zeros(4))
    before = sorted(p for p in tmp_path.iterdir())
    code, out, err = recuse(*command)
    one_line((code, out, err.removeprefix("loading net.py\n")), *words)
    assert sorted(p for p in tmp_path.iterdir() if p.name != "__pycache__") == before
    assert (tmp_path / "old.onnx").read_text() == "old"
