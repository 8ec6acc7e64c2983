import subprocess
import sys

import numpy as np
import pytest

from recuse import InputError, collect_logits, read

torch = pytest.importorskip("torch")
DATA = torch.utils.data


def batches(n=10, size=4, ids=False):
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 6, generator=rng), torch.arange(n) % 3
    columns = (x, y, 100 + torch.arange(n)) if ids else (x, y)
    return DATA.DataLoader(DATA.TensorDataset(*columns), batch_size=size)


def linear(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Dropout(0.9)).to(dtype)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("ids", [False, True])
def test_the_file_holds_what_the_model_says_in_evaluation_mode(tmp_path, suffix, ids):
    model, loader, out = linear(), batches(ids=ids), tmp_path / f"a{suffix}"
    returned = collect_logits(model, loader, out)
    file = read(out)
    with torch.no_grad():
        expected = model.eval()(loader.dataset.tensors[0])
    np.testing.assert_allclose(file.logits, expected, rtol=1e-6, atol=1e-6)
    assert file.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert (file.ids.tolist() == list(range(100, 110))) if ids else file.ids is None
    assert returned.digest == file.digest


def test_every_part_of_the_model_returns_to_the_mode_it_had(tmp_path):
    model = linear()
    model[1].eval()  # frozen by its owner
    collect_logits(model, batches(), tmp_path / "a.npz")
    assert [m.training for m in model.modules()] == [True, True, False]

    def broken():
        yield from batches()
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError, match="the disk went away"):
        collect_logits(model, broken(), tmp_path / "b.npz")
    assert [m.training for m in model.modules()] == [True, True, False]
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(tmp_path, dtype):
    loader = [(x.to(dtype), y) for x, y in batches()]
    collect_logits(linear(dtype), loader, tmp_path / "a.safetensors")
    file = read(tmp_path / "a.safetensors")
    assert f"torch.{file.logits.dtype.name}" == str(dtype)
    assert len(file) == 10


def test_segmentation_keeps_its_axes_and_its_void_label(tmp_path):
    model = torch.nn.Conv2d(1, 4, 3, padding=1)
    labels = torch.randint(0, 4, (5, 6, 7))
    labels[:, 0] = 255
    loader = DATA.DataLoader(DATA.TensorDataset(torch.randn(5, 1, 6, 7), labels), batch_size=2)
    file = collect_logits(model, loader, tmp_path / "a.safetensors", ignore_index=255)
    assert file.logits.shape == (5, 4, 6, 7)
    assert file.labels.shape == (5, 6, 7)
    assert len(file.predictions()) == 5 * 5 * 7
    with pytest.raises(InputError, match=r"labels` in 0..3, got 255 at rows 0, 1, 2, \.\.\."):
        collect_logits(model, loader, tmp_path / "b.safetensors")


def test_any_function_and_any_iterable_will_do(tmp_path):
    class Stream(DATA.IterableDataset):
        def __iter__(self):
            return iter([(torch.ones(3) * i, i % 3) for i in range(5)])

    for loader in (
        DATA.DataLoader(Stream(), batch_size=2),
        ((np.eye(3, dtype=np.float32), np.arange(3)) for _ in range(2)),
    ):
        file = collect_logits(lambda x: x * 2, loader, tmp_path / "a.npz")
        assert file.logits.max() in (2, 8)


def test_what_cannot_become_a_file_is_one_line(tmp_path):
    x, y = torch.ones(2, 6), torch.tensor([0, 1])
    for loader, message in (
        ([], "at least one batch, got none"),
        ([x], r"batches \(inputs, labels\) or \(inputs, labels, ids\), got Tensor"),
        ([(x,)], r"batches \(inputs, labels\)"),
        ([(x, y), (x, y, y)], "differ in length only"),
        ([(x, torch.ones(2, 2, dtype=int))], r"labels` of shape \(2,\)"),
        ([(x, y.float())], "labels` as integers"),
        ([(x * np.nan, y)], r"a.npz: expected `logits` without NaN .* rows 0, 1"),
    ):
        with pytest.raises(InputError, match=message) as error:
            collect_logits(linear(), loader, tmp_path / "a.npz")
        assert "\n" not in str(error.value)
    ragged = [(torch.ones(1, 2, 4, 4), torch.ones(1, 4, 4, dtype=int)),
              (torch.ones(1, 2, 4, 5), torch.ones(1, 4, 5, dtype=int))]  # fmt: skip
    with pytest.raises(InputError, match="differ in length only"):
        collect_logits(lambda x: x, ragged, tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_a_name_that_cannot_be_written_is_refused_before_the_model_runs(tmp_path):
    with pytest.raises(InputError, match=r"ending in \.safetensors or \.npz"):
        collect_logits(pytest.fail, batches(), tmp_path / "a.pt")


def test_nothing_is_printed_where_stderr_is_no_terminal(tmp_path, capfd):
    collect_logits(linear(), batches(), tmp_path / "a.npz")
    assert capfd.readouterr() == ("", "")


def test_importing_recuse_imports_no_torch():
    heavy = ["torch", "numba", "scipy.stats", "altair", "vl_convert"]
    code = f"import sys, recuse; sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
