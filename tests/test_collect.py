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
    assert (tmp_path / "b.npz.partial").exists()


class Output(dict):
    """As a `ModelOutput`: a mapping whose entries are attributes, too."""

    __getattr__ = dict.__getitem__


FORMS = {
    "a tuple": lambda z: (z, [z[:, :1]]),
    "a list": lambda z: [z, z[:, :1]],
    "a mapping": lambda z: {"loss": None, "logits": z},
    "a ModelOutput": lambda z: Output(logits=z, hidden_states=(z,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_models_may_give_more_than_logits(form, tmp_path):
    model = linear().eval()
    expected = collect_logits(model, batches(), tmp_path / "a.npz")
    found = collect_logits(lambda x: FORMS[form](model(x)), batches(), tmp_path / "b.npz")
    assert found.digest == expected.digest
    with pytest.raises(InputError, match="expected outputs with `logits`, got scores"):
        collect_logits(lambda x: {"scores": x}, batches(), tmp_path / "c.npz")


def test_batches_may_be_mappings_of_keywords(tmp_path):
    model = linear().eval()
    expected = collect_logits(model, batches(ids=True), tmp_path / "a.npz")
    loader = [{"x": x, "labels": y, "ids": i, "scale": 1} for x, y, i in batches(ids=True)]
    found = collect_logits(
        lambda x, scale: {"logits": scale * model(x)}, loader, tmp_path / "b.npz"
    )
    assert (found.digest, found.ids.tolist()) == (expected.digest, expected.ids.tolist())
    with pytest.raises(InputError, match="batches with `labels`, got x, y"):
        collect_logits(model, [{"x": 0, "y": 1}], tmp_path / "c.npz")


def test_tokens_of_batches_of_other_lengths_are_one_file(tmp_path):
    def rows(n, length, seed):
        rng = torch.Generator().manual_seed(seed)
        return {
            "z": torch.randn(n, length, 3, generator=rng),
            "labels": torch.arange(n * length).view(n, length) % 4 - 1,
        }

    loader = [rows(4, 5, 0), rows(2, 7, 1), rows(3, 2, 2)]
    for batch in loader:
        batch["labels"][batch["labels"] < 0] = -100
    file = collect_logits(lambda z: {"logits": z}, loader, tmp_path / "a.npz")
    assert (file.logits.shape, file.labels.shape) == ((9, 3, 7), (9, 7))
    flat = file.predictions()
    z = np.concatenate([batch["z"][batch["labels"] != -100] for batch in loader])
    labels = np.concatenate([batch["labels"][batch["labels"] != -100] for batch in loader])
    np.testing.assert_array_equal(flat.logits, z)
    np.testing.assert_array_equal(flat.labels, labels)


BAD_FIRST = {
    "shape": lambda x, y: (x, torch.ones(4, 2, dtype=int), "labels` of shape"),
    "dtype": lambda x, y: (x, y.float(), "labels` as integers"),
    "range": lambda x, y: (x, y + 7, r"labels` in 0..2, got 7"),
    "values": lambda x, y: (x * np.nan, y, "without NaN"),
}


@pytest.mark.parametrize("case", BAD_FIRST)
def test_the_first_batch_is_checked_before_the_others_run(case, tmp_path):
    def loader():
        x, y = next(iter(batches()))
        *batch, _ = BAD_FIRST[case](x, y)
        yield batch
        pytest.fail("another batch ran")

    message = BAD_FIRST[case](torch.ones(4, 6), torch.arange(4) % 3)[-1]
    with pytest.raises(InputError, match=f"a.npz: expected .*{message}"):
        collect_logits(linear(), loader(), tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="npz holds no bfloat16"):
        collect_logits(
            linear(torch.bfloat16),
            (
                (x.bfloat16(), y) if i == 0 else pytest.fail("ran on")
                for i, (x, y) in enumerate(batches())
            ),
            tmp_path / "a.npz",
        )


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
def test_what_was_collected_before_a_late_failure_is_kept(error, name, tmp_path):
    def broken():
        yield from list(batches())[:2]
        if error is not None:
            raise error("out of memory")
        yield torch.ones(1, 6), torch.tensor([3])

    with pytest.raises(error or InputError) as caught:
        collect_logits(linear(), broken(), tmp_path / name)
    partial = tmp_path / f"{name}.partial"
    said = f"the 8 rows of the 2 batches before it are in {partial}"
    told = str(caught.value) if error is None else caught.value.__notes__[0]
    assert said in told
    assert [p.name for p in tmp_path.iterdir()] == [partial.name]
    partial.rename(tmp_path / f"kept{partial.with_suffix('').suffix}")
    file = read(tmp_path / f"kept{partial.with_suffix('').suffix}")
    whole = collect_logits(linear(), batches(), tmp_path / name)
    np.testing.assert_array_equal(file.logits, whole.logits[:8])
    np.testing.assert_array_equal(file.labels, whole.labels[:8])


def test_a_run_that_ends_well_leaves_no_part_of_an_earlier_one(tmp_path):
    with pytest.raises(InputError):
        collect_logits(linear(), [*batches(), None], tmp_path / "a.npz")
    assert (tmp_path / "a.npz.partial").exists()
    assert len(collect_logits(linear(), batches(), tmp_path / "a.npz")) == 10
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


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
    with pytest.raises(InputError, match=r"labels` in 0..3, got 255 at rows 0, 1$"):
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
        ([x], r"batches \(inputs, labels\) or \(inputs, labels, ids\), or mappings .*, got Tensor"),
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
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz.partial"]  # of the batch that fits


def test_a_name_that_cannot_be_written_is_refused_before_the_model_runs(tmp_path):
    with pytest.raises(InputError, match=r"ending in \.safetensors or \.npz"):
        collect_logits(pytest.fail, batches(), tmp_path / "a.pt")


def test_nothing_is_printed_where_stderr_is_no_terminal(tmp_path, capfd):
    collect_logits(linear(), batches(), tmp_path / "a.npz")
    assert capfd.readouterr() == ("", "")


def test_importing_recuse_imports_no_torch():
    heavy = ["torch", "numba", "scipy.stats", "vl_convert"]
    code = f"import sys, recuse; sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_file_names_the_model_by_its_class_and_a_digest_of_its_weights(tmp_path):
    model, other = linear(), linear()
    with torch.no_grad():
        other[0].weight[0, 0] += 1e-6

    def name(model, **options):
        collect_logits(model, batches(), tmp_path / "a.npz", **options)
        return read(tmp_path / "a.npz").model

    first = name(model)
    assert first.startswith("Sequential sha256:")
    assert name(linear()) == first != name(other)
    assert name(torch.nn.DataParallel(linear())) == first  # the model inside
    assert name(torch.compile(linear(), backend="eager")) == first
    assert name(model, name="ours v3") == "ours v3"
    assert name(lambda x: x[:, :3]) is None
