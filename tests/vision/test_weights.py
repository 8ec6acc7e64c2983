"""Checkpoints: weights alone, whatever a trainer wrapped around them."""

import pickle

import pytest

from recuse import InputError

torch = pytest.importorskip("torch", reason="needs the extra torch")
from safetensors.torch import save_file  # noqa: E402

from recuse.collect._models import load_weights, read_weights  # noqa: E402


def net(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
def test_weights_come_through_every_wrapping(tmp_path, prefix, nest):
    state = {prefix + k: v for k, v in net(1).state_dict().items()}
    torch.save({nest: state, "epoch": 3} if nest else state, tmp_path / "a.pt")
    model = net(0)
    load_weights(model, read_weights(tmp_path / "a.pt"), "a.pt")
    assert same(model, net(1))
    save_file(state, tmp_path / "a.safetensors")
    model = net(0)
    load_weights(model, read_weights(tmp_path / "a.safetensors"), "a")
    assert same(model, net(1))


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(net(0), "whole.pt")
    torch.save({"state_dict": net(0).state_dict(), "args": Trap()}, "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("whole.pt", "trap.pt", "plain.pt"):
        with pytest.raises(InputError, match=f"{name}: holds more than weights or is damaged") as e:
            read_weights(tmp_path / name)
        assert "\n" not in str(e.value)
    assert not (tmp_path / "trapped").exists()


def test_what_does_not_fit_is_one_line(tmp_path):
    state = net(0).state_dict()
    cases = {
        r"got 1 missing \(0.bias\) and 0 left over": {
            k: v for k, v in state.items() if k != "0.bias"
        },
        r"got 0 missing and 4 left over \(a, b, c, ...\)": state
        | dict.fromkeys("abcd", torch.ones(1)),
        r"size mismatch for 0.bias": state | {"0.bias": torch.ones(9)},
    }
    for message, weights in cases.items():
        with pytest.raises(InputError, match=f"x.pt: .*{message}") as error:
            load_weights(net(0), weights, "x.pt")
        assert "\n" not in str(error.value)
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    torch.save({}, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(InputError, match="expected tensors by name"):
            read_weights(tmp_path / name)
    (tmp_path / "c.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        read_weights(tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="no such file"):
        read_weights(tmp_path / "d.pt")
