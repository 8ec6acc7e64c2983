import io
import os
import pickle
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse
from recuse import InputError, read, scores, write_logits
from recuse._internal.files import hashes, write_text
from recuse.intervals import AURC
from recuse.io import HeldOut, open_logits, split_rows
from recuse.io._checked import ShardIds
from recuse.io._reader import read_groups
from recuse.io._stores import FORMATS
from recuse.io._write import read_subgroups
from samples import one_column, pixels, sample

DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
ARRAYS = (".safetensors", ".npz", "")  # formats that hold any array
HELD = [(s, d) for s in ARRAYS for d in DTYPES if s == ".safetensors" or d != "bfloat16"]


def raw(path, **fields):
    """Write arrays unchecked."""
    if path.suffix == ".npz":
        np.savez(path, **fields)
    elif path.suffix == "":
        path.mkdir(exist_ok=True)
        for name, array in fields.items():
            np.save(path / f"{name}.npy", array)
    else:
        from safetensors.numpy import save_file

        save_file({k: np.ascontiguousarray(v) for k, v in fields.items()}, path)
    return path


@pytest.mark.parametrize("make", [sample, pixels])
@pytest.mark.parametrize(("suffix", "dtype"), HELD)
def test_a_file_reads_back_as_it_was_written(tmp_path, suffix, dtype, make):
    z, y = make(dtype=DTYPES[dtype])
    groups, ids = np.arange(len(z)) // 2, np.arange(len(z)) + 1000
    path = tmp_path / f"out{suffix}"
    written = write_logits(path, z, y, groups=groups, ids=ids)
    file = read(path)
    assert file.logits.dtype == z.dtype
    for name, array in {"logits": z, "labels": y, "groups": groups, "ids": ids}.items():
        np.testing.assert_array_equal(getattr(file, name), array)
    assert file.digest == written.digest
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [*FORMATS, ""])
@pytest.mark.parametrize("view", ["big endian", "transposed", "reversed"])
def test_memory_layout_and_byte_order_do_not_matter(tmp_path, suffix, view):
    z, y = sample(20)
    odd = {"big endian": z.astype(">f4"), "transposed": z.T.copy().T, "reversed": z[::-1]}[view]
    write_logits(tmp_path / f"a{suffix}", odd, y)
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").logits, np.asarray(odd))


def test_what_was_opened_or_read_is_written_alone(tmp_path):
    z, y = sample(50)
    a = tmp_path / "a.npz"
    write_logits(a, z, y, ids=np.arange(50), class_names=[f"c{k}" for k in range(z.shape[1])])
    for name, file in (
        ("b.npz", open_logits(a)),
        ("c.safetensors", read(a)),
        ("a.npz", open_logits(a)),
    ):
        write_logits(tmp_path / name, file)
        assert read(tmp_path / name).digest == read(a).digest
        assert read(tmp_path / name).class_names == read(a).class_names
        with pytest.raises(InputError, match="a HeldOut alone, or arrays, got both"):
            write_logits(tmp_path / name, file, y)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_was_read_is_not_changed_in_place(tmp_path, suffix):
    """Its predictions, digest and hashes are kept."""
    write_logits(path := tmp_path / f"x{suffix}", *sample(50))
    file = read(path)
    for array in (file.logits, file.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    changed = replace(file, logits=file.logits[:, ::-1])
    assert (changed.predicted == file.logits.shape[1] - 1 - file.predicted).all()


def test_torch_tensors_are_written_bfloat16_included(tmp_path):
    torch = pytest.importorskip("torch")
    z, y = torch.randn(6, 3, dtype=torch.bfloat16, requires_grad=True), torch.arange(6) % 3
    file = write_logits(tmp_path / "t.safetensors", z, y)
    assert file.logits.dtype.name == "bfloat16"
    assert (file.logits.astype(np.float32) == z.detach().float().numpy()).all()


@pytest.mark.parametrize("kind", ["U", "S"])
def test_string_ids_live_in_npz_and_come_back_as_text(tmp_path, kind):
    z, y = sample(3)
    ids = np.array(["a", "bé", "c"])
    stored = np.char.encode(ids, "utf-8") if kind == "S" else ids
    file = read(raw(tmp_path / "a.npz", logits=z, labels=y, ids=stored))
    assert file.ids.tolist() == ids.tolist()
    with pytest.raises(InputError, match=r"holds no strings \(ids\); write .npz"):
        write_logits(tmp_path / "a.safetensors", z, y, ids=ids)
    assert not (tmp_path / "a.safetensors").exists()


def with_value(value, row=7, **other):
    z, y = sample(20)
    z[row, 2] = value
    return {"logits": z, "labels": y, **other}


def with_empty_row(row):
    z, y = sample(20)
    z[row] = -np.inf
    return {"logits": z, "labels": y}


def with_labels(change):
    z, y = sample(20)
    return {"logits": z, "labels": change(y)}


BAD = {
    "NaN": (with_value(np.nan), r"expected `logits` without NaN or \+inf, got 1 .*, row 7"),
    "inf": (with_value(np.inf), r"expected `logits` without NaN or \+inf, got 1 .*, row 7"),
    "-inf": (with_empty_row(7), "expected a finite logit in every row, got none, row 7"),
    "label out of range": (
        with_labels(lambda y: y + 5 * (y == y[9])),
        r"labels` in 0..4, got \d at rows? \d",
    ),
    "negative label": (with_labels(lambda y: y - 100), "labels` in 0..4, got -"),
    "float labels": (with_labels(lambda y: y * 1.0), r"labels` as integers 0\.\.4, got float64"),
    "short labels": (with_labels(lambda y: y[:-1]), r"labels` of shape \(20,\) .* got \(19,\)"),
    "scalar labels": (with_labels(lambda y: y[:1].reshape(())), "expected `labels` of shape"),
    "Boolean logits": ({"logits": np.eye(3, dtype=bool)}, "logits` of a floating dtype.* got bool"),
    "flat logits": ({"logits": np.ones(4, np.float32)}, r"of shape \(n, K, ...\), got \(4,\)"),
    "one column": ({"logits": one_column(4)[0]}, "K >= 2 classes .* --binary"),
    "no rows": ({"logits": np.ones((0, 3))}, r"at least one row of `logits`, got shape \(0, 3\)"),
    "no pixels": ({"logits": np.ones((2, 3, 0, 4))}, "at least one row"),
    "no logits": ({"labels": np.arange(3)}, "expected an array `logits`, got labels"),
    "unknown array": (with_value(0, extra=np.ones(3)), "and optionally `groups`, `ids`, got extra"),
    "short groups": (with_value(0, groups=np.ones(3, int)), r"`groups` of shape \(20,\), got \(3"),
    "NaN groups": (with_value(0, groups=np.full(20, np.nan)), "`groups` of an integer or string"),
    "long ids": (with_value(0, ids=np.arange(21)), r"`ids` of shape \(20,\), got \(21,\)"),
}


@pytest.mark.parametrize("suffix", ARRAYS)
@pytest.mark.parametrize("case", BAD)
def test_bad_content_is_one_line_that_names_file_row_and_expectation(tmp_path, case, suffix):
    fields, message = BAD[case]
    path = raw(tmp_path / f"bad{suffix}", **fields)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", [c for c in BAD if c not in ("no logits", "unknown array")])
def test_bad_content_is_not_written_either(tmp_path, case):
    fields, message = BAD[case]
    with pytest.raises(InputError, match=message):
        write_logits(tmp_path / "bad.npz", **fields)
    assert not list(tmp_path.iterdir())


def npz(**fields):
    stream = io.BytesIO()
    np.savez(stream, **fields)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


DAMAGED = {
    "empty.npz": b"",
    "empty.safetensors": b"",
    "truncated.npz": npz(logits=sample()[0])[:500],
    "zeros.safetensors": bytes(100),
    "text.npz": b"logits\n1,2\n",
    "text.safetensors": b"logits\n1,2\n3,4\n5,6",
    "npy.npz": npy(np.eye(3)),
    "pickle.npz": pickle.dumps({"logits": [1]}),
    "pickled.npz": npz(logits=np.array([{}, {}], dtype=object)),
    "void.npz": npz(logits=sample(dtype=ml_dtypes.bfloat16)[0]),
    "empty-archive.npz": npz(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(InputError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_anywhere_is_one_line(tmp_path, suffix):
    whole, cut = tmp_path / f"a{suffix}", tmp_path / f"cut{suffix}"
    write_logits(whole, *sample(30))
    content = whole.read_bytes()
    for size in range(1, len(content), 37):
        cut.write_bytes(content[:size])
        with pytest.raises(InputError, match="cannot be read as") as error:
            read(cut)
        assert "\n" not in str(error.value)


def test_no_pickle_is_unpacked(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    raw(tmp_path / "trap.npz", logits=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match="never unpickled"):
        read(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_file_reaches_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    (path := tmp_path / "state.json").write_text("old")
    seen = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: seen.append((os.fstat(handle), path.read_text()))
    )
    write_text(path, "new")
    ((written, there),) = seen
    assert (written.st_size, there, path.read_text()) == (3, "old", "new")


def test_missing_files_folders_and_other_suffixes_are_named(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name, message in {
        "none.npz": "no such file",
        "none-*.npz": "no such files",
        "folder.npz": "folder of logits.npy or of shards ending in .*, found neither",
        "folder.*": "expected a file or a folder of logits.npy, got a folder",
        "a.pt": "expected outputs in a file ending in .safetensors, .npz, .parquet, .csv",
    }.items():
        with pytest.raises(InputError, match=f"{message}"):
            read(tmp_path / name)
    for name in ("a.pt", "a.npy"):
        with pytest.raises(InputError, match="expected a file ending in"):
            write_logits(tmp_path / name, *sample(4))
    with pytest.raises(InputError, match="npz holds no bfloat16"):
        write_logits(tmp_path / "a.npz", *sample(4, dtype=ml_dtypes.bfloat16))
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_logits(path, *sample(4))
    before = path.read_bytes()

    def full(target, **fields):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        write_logits(path, *sample(5))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("first", ["0", 0])
def test_an_id_in_two_shards_is_refused_by_whoever_reads_them(first, tmp_path):
    z, y = sample(60)
    text = isinstance(first, str)
    for i, name in enumerate("abc"):
        ids = np.arange(60) + 60 * i - (i == 2)
        write_logits(tmp_path / f"{name}.npz", z + i, y, ids=ids.astype(str) if text else ids)
    message = "expected shards of different examples, got the id 119 in .*b.npz and in .*c.npz"
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    with pytest.raises(InputError, match=message):
        list(open_logits(tmp_path).chunks(7))
    with pytest.raises(InputError, match=message):
        open_logits(tmp_path / "[bc].npz").digest  # noqa: B018
    (tmp_path / "c.npz").unlink()
    assert len(read(tmp_path)) == 120


def test_an_id_may_be_repeated_in_one_shard(tmp_path):
    z, y = sample(60)
    for i, name in enumerate("ab"):
        write_logits(tmp_path / f"{name}.npz", z + i, y, ids=np.arange(60) // 2 + 30 * i)
    assert sum(len(chunk) for chunk in open_logits(tmp_path).chunks(7)) == 120


@pytest.mark.parametrize("shared", [100, 2_000])
def test_of_more_ids_than_are_kept_the_same_sample_of_each_shard_is_compared(shared):
    ids = ShardIds("net", limit=1_000)
    rows = np.zeros((50_000, 2))
    ids.add(HeldOut(rows, ids=np.arange(50_000), name="a"))
    assert ids.known.size == 1_000
    again = HeldOut(rows, ids=np.arange(50_000) + 50_000 - shared, name="b")
    if shared == 2_000:  # 40 of them are expected in the sample
        with pytest.raises(InputError, match="in a and in b"):
            ids.add(again)
    else:
        ids.add(HeldOut(rows, ids=np.arange(50_000) + 50_000, name="b"))
    assert ids.known.size == 1_000


def tokens(seed=0, n=40, length=6, classes=3):
    """Logits (B, T, K) and labels (B, T) of token classification, as the Trainer gives them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (n, length))
    z = 3 * np.eye(classes)[labels] + rng.normal(size=(n, length, classes))
    labels[np.arange(length) >= rng.integers(1, length + 1, n)[:, None]] = -100
    return z.astype(np.float32), labels


@pytest.mark.parametrize("compressed", [False, True])
def test_what_a_trainer_predicted_is_read_as_it_was_saved(compressed, tmp_path):
    save = np.savez_compressed if compressed else np.savez
    z, y = sample(50)
    save(tmp_path / "a.npz", predictions=z, label_ids=y, ids=np.arange(50))
    file = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(file.logits, z)
    assert (file.labels.tolist(), file.ids.tolist()) == (y.tolist(), list(range(50)))
    z, y = tokens()
    save(tmp_path / "b.npz", predictions=z, label_ids=y, groups=np.arange(40) // 2)
    for file in (read(tmp_path / "b.npz"), *open_logits(tmp_path / "b.npz").chunks(40)):
        flat = file.predictions()
        np.testing.assert_array_equal(flat.logits, z[y != -100])
        np.testing.assert_array_equal(flat.labels, y[y != -100])
        np.testing.assert_array_equal(
            flat.groups, np.repeat(np.arange(40) // 2, 6)[(y != -100).ravel()]
        )
    parts = list(open_logits(tmp_path / "b.npz").chunks(7))
    assert [part.logits.shape for part in parts] == [(7, 3, 6)] * 5 + [(5, 3, 6)]
    save(tmp_path / "c.npz", predictions=z, label_ids=y)
    assert np.unique(read(tmp_path / "c.npz").predictions().groups).size == 40  # the sequences
    images, labels = pixels()
    save(tmp_path / "d.npz", predictions=images, label_ids=labels)
    np.testing.assert_array_equal(read(tmp_path / "d.npz").logits, images)


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.parquet", "a"])
def test_integer_logits_are_floats_everywhere(name, tmp_path):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    z, y = (10 * sample(60)[0]).astype(int), sample(60)[1]
    written = write_logits(tmp_path / name, z, y)
    reader = open_logits(tmp_path / name)
    found = reader.read()
    assert (
        (found.logits.dtype, found.digest)
        == (np.float64, reader.digest)
        == (
            written.logits.dtype,
            HeldOut(z.astype(float), y).digest,
        )
    )
    for score in (scores.msp, scores.energy, scores.predict):
        np.testing.assert_array_equal(score(z), score(z.astype(float)))
    np.testing.assert_array_equal(scores.from_binary(z[:, 0]), scores.from_binary(1.0 * z[:, 0]))
    np.testing.assert_array_equal(scores.from_probs([0, 1]), scores.from_probs([0.0, 1.0]))


def test_a_single_row_is_told_how_to_become_a_table():
    with pytest.raises(
        InputError, match=r"of shape \(n, K, ...\), got \(5,\); a single row z is z"
    ):
        scores.predict(sample(1)[0][0])


def test_python_objects_of_a_trainer_are_never_unpickled(tmp_path):
    z, y = sample(20)
    metrics = np.array({"test_loss": 0.5}, dtype=object)
    np.savez(tmp_path / "a.npz", predictions=z, label_ids=y, metrics=metrics)
    assert len(read(tmp_path / "a.npz")) == 20  # metrics are left alone
    several = np.empty(2, object)
    several[:] = [z, z[:, :2]]
    np.savez(tmp_path / "b.npz", predictions=several, label_ids=y)
    with pytest.raises(InputError, match=r"`predictions` of numbers or text, got Python.*\[0\]"):
        read(tmp_path / "b.npz")
    np.savez(tmp_path / "n.npz", predictions=z, label_ids=None)
    message = r"n.npz: expected `label_ids` of numbers or text, got Python objects, such as None"
    for options in ({}, {"outputs": "predictions"}):
        with pytest.raises(InputError, match=message) as refused:
            read(tmp_path / "n.npz", **options)
        assert "allow_pickle" not in str(refused.value)
    np.savez(tmp_path / "c.npz", predictions=z, label_ids=y, other=y)
    with pytest.raises(InputError, match=r"expected arrays `predictions`, `label_ids`.*got other"):
        read(tmp_path / "c.npz")


BLANK = np.array(["a", "", "b", " \t"] * 5)


@pytest.mark.parametrize("field", ["groups", "ids"])
def test_blank_names_are_refused_by_every_reader(field, tmp_path):
    """All of them would be one group."""
    z, y = sample(20)
    names = np.arange(20).astype(str) if field == "ids" else np.repeat(["a", "b"], 10)
    names = np.where(np.arange(20) % 2, BLANK, names)
    message = f"expected `{field}` without blanks, got 10, rows 1, 3, 5"
    with pytest.raises(InputError, match=message):
        read(raw(tmp_path / "a.npz", logits=z, labels=y, **{field: names}))
    with pytest.raises(InputError, match=message):
        write_logits(tmp_path / "b.npz", z, y, **{field: names})
    with pytest.raises(InputError, match=message):
        recuse.fit((z, y), HeldOut(z, y, **{field: names}), target_risk=0.5)
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow")
    columns = {"confidence": z[:, 0], "correct": y == 0, field[:-1]: names}
    parquet.write_table(pa.table(columns), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=f"no empty cell in column '{field[:-1]}', got 10"):
        read(tmp_path / "c.parquet")
    rows = (f"0.{i},1,{name}" for i, name in enumerate(names))
    (tmp_path / "c.csv").write_text("\n".join([f"confidence,correct,{field[:-1]}", *rows]))
    with pytest.raises(InputError, match=f"in column '{field[:-1]}', got 10, lines 3, 5, 7"):
        read(tmp_path / "c.csv")


def test_blank_groups_and_subgroups_from_elsewhere_are_refused(tmp_path):
    (tmp_path / "g.txt").write_text("a\n\nb\n\n")
    with pytest.raises(InputError, match=r"groups in .*g.txt without blanks, got 1, row 1"):
        read_groups(tmp_path / "g.txt", 3)
    (tmp_path / "s.csv").write_text("id,site\n1,north\n2, \n")
    with pytest.raises(InputError, match="line 3: expected an id and a subgroup, got none"):
        read_subgroups(tmp_path / "s.csv")
    confidence, loss = np.linspace(0, 1, 20), np.arange(20) % 2
    with pytest.raises(InputError, match="expected `groups` without blanks, got 10"):
        recuse.intervals.standard_error(confidence, loss, AURC, groups=BLANK)


@given(st.lists(st.text(max_size=4), min_size=1), st.integers(0, 5))
def test_hashes_of_ids_are_equal_where_the_ids_are(names, more):
    names = np.array(names)
    found = hashes(names)
    wider = names.astype(f"U{names.dtype.itemsize // 4 + more}")
    assert (hashes(wider) == found).all()
    assert np.unique(found).size == np.unique(names).size


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_declared_binary_head_becomes_two_columns(tmp_path, shape):
    z, y = one_column(20)
    file = read(raw(tmp_path / "b.npz", logits=z.reshape(shape), labels=y), kind="binary")
    np.testing.assert_array_equal(file.logits, np.c_[np.zeros(20), z])


@pytest.mark.parametrize(
    ("kind", "logits", "message"),
    [
        ("binary", sample(5)[0], r"a binary head of shape \(n,\) or \(n, 1, ...\), got \(5, 5\)"),
        ("binary", np.float32([[1], [-np.inf]]), "a finite logit in every row, got none, row 1"),
        ("binary", np.float32([[1], [np.nan]]), "without NaN .* row 1"),
        ("binary", np.array([[True], [False]]), "floating dtype"),
        ("probs", sample(5)[0], "rows that sum to 1, got .* at row"),
        ("probs", np.float32([[0.5, 0.5], [0.9, 0.2]]), "sum to 1, got .* at row 1; logits"),
        ("probs", np.float32([[0.5, 0.5], [np.nan, 0.2]]), "sum to 1, got .* at row 1; logits"),
        (
            "guess",
            sample(5)[0],
            "expected `kind` among logits, .*, multilabel, got 'guess'",
        ),
    ],
)
def test_values_of_another_kind_are_refused_by_name(tmp_path, kind, logits, message):
    path = raw(tmp_path / "k.npz", logits=logits)
    with pytest.raises(InputError, match=message) as error:
        read(path, kind=kind)
    assert kind == "guess" or str(error.value).startswith(f"{path}: ")


def test_probabilities_become_their_logarithm(tmp_path):
    probs = np.array([[1.0, 0.0], [0.25, 0.75]])
    file = read(raw(tmp_path / "p.npz", logits=probs), kind="probs")
    np.testing.assert_allclose(np.exp(file.logits), probs)


def test_ignored_labels_are_allowed_only_where_declared_and_leave_with_their_rows(tmp_path):
    z, y = pixels()
    y[:, :2] = 255
    with pytest.raises(InputError, match=r"labels` in 0..2, got 255"):
        write_logits(tmp_path / "a.npz", z, y)
    write_logits(tmp_path / "a.npz", z, y, ignore_index=255)
    flat = read(tmp_path / "a.npz", ignore_index=255).predictions()
    assert flat.labels.tolist() == y[:, 2:].reshape(-1).tolist()
    np.testing.assert_array_equal(flat.logits, np.moveaxis(z, 1, -1)[:, 2:].reshape(-1, 3))
    nothing = HeldOut(z, np.full_like(y, 255), name="n", ignore_index=255)
    with pytest.raises(InputError, match="n: every label is the ignored 255"):
        nothing.predictions()


def test_pixels_of_one_image_form_a_group_named_by_id_or_content():
    z, y = pixels(4, side=2)
    shuffled = np.array([2, 0, 3, 1])
    by_content = HeldOut(z, y).predictions().groups.reshape(4, 4)
    assert len(np.unique(by_content)) == 4
    assert (by_content == by_content[:, :1]).all()
    again = HeldOut(z[shuffled], y[shuffled]).predictions().groups.reshape(4, 4)
    np.testing.assert_array_equal(again, by_content[shuffled])
    for key in ("groups", "ids"):
        named = HeldOut(z, y, **{key: np.arange(4) + 7}).predictions()
        assert named.groups.tolist() == np.repeat(np.arange(4) + 7, 4).tolist()
    both = HeldOut(z, y, groups=np.array([1, 1, 2, 2]), ids=np.arange(4)).predictions()
    assert np.unique(both.groups).tolist() == [1, 2]


@given(
    n=st.integers(3, 40),
    group_size=st.integers(0, 3),
    shares=st.sampled_from([(0.5, 0.5), (0.4, 0.4, 0.2), (0.1, 0.9), (1.0,)]),
    seed=st.integers(0, 3),
)
def test_parts_are_disjoint_exhaustive_and_keep_groups_whole(n, group_size, shares, seed):
    z, y = sample(n)
    groups = np.random.default_rng(n).permutation(n) // group_size if group_size else None
    file = HeldOut(z, y, groups, np.arange(n))
    names = [f"p{i}" for i in range(len(shares))]
    try:
        parts = split_rows(file, dict(zip(names, shares)), seed=seed)
    except InputError as error:
        assert "would be empty" in str(error)  # noqa: PT017
        return
    assert sorted(np.concatenate([p.ids for p in parts.values()])) == list(range(n))
    for part in parts.values():
        np.testing.assert_array_equal(part.logits, z[part.ids])
        np.testing.assert_array_equal(part.labels, y[part.ids])
    if groups is not None:
        seen = [set(part.groups.tolist()) for part in parts.values()]
        assert sum(map(len, seen)) == len(set().union(*seen))


def test_the_same_seed_cuts_the_same_parts_and_another_seed_others():
    file = HeldOut(*sample(50), ids=np.arange(50))
    first, again, other = (
        split_rows(file, {"a": 0.5, "b": 0.5}, seed=s)["a"].ids.tolist() for s in (0, 0, 1)
    )
    assert first == again != other
    assert len(first) == 25


@pytest.mark.parametrize(
    "parts",
    [{}, {"a": 0.5}, {"a": 0.7, "b": 0.7}, {"a": 1.5, "b": -0.5}, {"a": float("nan"), "b": 0.5}],
)
def test_fractions_that_are_no_partition_are_refused(parts):
    with pytest.raises(InputError, match="expected parts > 0 that sum to 1"):
        split_rows(HeldOut(*sample(10)), parts)
