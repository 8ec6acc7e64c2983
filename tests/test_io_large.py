"""Files in parts: chunks, shards, parquet, folders of .npy; what they hold is what was written."""

import json
import shutil
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import large
from recuse import InputError, read, write_logits
from recuse.evaluation import measure_file
from recuse.io import HeldOut, open_logits, split_rows
from recuse.io._reader import shards
from recuse.io._rows import FIELDS
from samples import one_column, pixels, sample

FORMATS = [".safetensors", ".npz", ".parquet", ""]


def same(a, b):
    for field in FIELDS:
        x, y = getattr(a, field), getattr(b, field)
        assert (x is None) == (y is None), field
        if x is not None:
            assert x.dtype.kind == y.dtype.kind
            np.testing.assert_array_equal(x, y)


def joined(chunks):
    parts = list(chunks)
    return HeldOut(
        *(
            None if getattr(parts[0], f) is None else np.concatenate([getattr(p, f) for p in parts])
            for f in FIELDS
        )
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of each format, and what it holds."""
    folder = tmp_path_factory.mktemp("written")
    z, y = sample(41)
    whole = HeldOut(z, y, np.arange(41) // 4, np.arange(41) + 100)
    for suffix in FORMATS:
        write_logits(folder / f"a{suffix}", z, y, groups=whole.groups, ids=whole.ids)
    return folder, whole


@given(rows=st.integers(1, 45), suffix=st.sampled_from(FORMATS))
def test_chunks_of_any_length_are_the_rows_of_the_file(written, rows, suffix):
    folder, whole = written
    reader = open_logits(folder / f"a{suffix}")
    assert (reader.n, reader.classes, reader.fields) == (41, 5, FIELDS)
    same(joined(reader.chunks(rows=rows)), whole)
    assert [len(c) for c in reader.chunks(rows=rows)][:-1] == [rows] * ((41 - 1) // rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_digest_of_parts_is_that_of_the_whole(written, suffix, monkeypatch):
    folder, whole = written
    monkeypatch.setattr("recuse.io._reader.CHUNK", 7 * 5 * 4)
    reader = open_logits(folder / f"a{suffix}")
    assert len(list(reader.chunks())) == 6
    assert reader.digest == reader.read().digest == whole.digest


@pytest.mark.parametrize("kind", ["binary", "probs", "multilabel"])
def test_the_digest_of_other_kinds_is_that_of_what_is_handed_out(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("recuse.io._reader.CHUNK", 64)
    z, y = one_column(30)
    arrays = {
        "binary": (z, y),
        "probs": (np.float32([[0.25, 0.75]] * 30), y),
        "multilabel": (np.float32(np.c_[z, -z, z]), np.c_[y, 1 - y, y] == 1),
    }[kind]
    np.savez(tmp_path / "a.npz", logits=arrays[0], labels=arrays[1])
    reader = open_logits(tmp_path / "a.npz", kind=kind)
    assert len(list(reader.chunks())) > 1
    assert reader.digest == reader.read().digest
    assert reader.read().logits.shape == reader.shape


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True).map(sorted))
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".parquet"])
def test_shards_in_the_order_of_their_names_are_one_file(suffix, cuts, written, tmp_path_factory):
    _, whole = written
    folder = tmp_path_factory.mktemp("shards")
    bounds = [0, *cuts, 41]
    for i, (start, stop) in reversed(list(enumerate(pairwise(bounds)))):
        part = whole.rows(slice(start, stop))
        write_logits(
            folder / f"part-{i:03}{suffix}",
            part.logits,
            part.labels,
            groups=part.groups,
            ids=part.ids,
        )
    (folder / "README.md").write_text("shards")
    for path in (folder, folder / "part-*"):
        reader = open_logits(path)
        assert len(reader.stores) == len(cuts) + 1
        same(reader.read(), whole)
        assert reader.digest == whole.digest
        assert reader.read().name == str(path)


def test_folders_of_npy_are_shards_too(tmp_path, written):
    _, whole = written
    for i in range(2):
        part = whole.rows(slice(20 * i, 20 * i + 20))
        write_logits(tmp_path / f"rank{i}", part.logits, part.labels)
    assert len(read(tmp_path / "rank*")) == 40
    assert [p.name for p in shards(tmp_path / "rank0")] == ["rank0"]


def test_a_name_with_brackets_is_a_name_where_it_exists(tmp_path):
    write_logits(tmp_path / "a[1].npz", *sample(5))
    write_logits(tmp_path / "a1.npz", *sample(6))
    assert len(read(tmp_path / "a[1].npz")) == 5
    assert len(read(tmp_path / "a[0-9].npz")) == 6


Z, Y = sample(20)
UNLIKE = {
    "classes": (sample(20, 4), {}, "shards alike, got logits (20, 4) and (20, 5) in"),
    "dtype": ((Z.astype(np.float16), Y), {}, "got `logits` of float16 and float32 in"),
    "fields": ((Z, Y), {"ids": np.arange(20)}, "only one of it and"),
    "no labels": ((Z,), {}, "has `labels`"),
    "label dtype": ((Z, Y.astype(np.int8)), {}, "got `labels` of int8 and int64 in"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_shards_that_differ_are_named(case, tmp_path):
    arrays, more, message = UNLIKE[case]
    write_logits(tmp_path / "0.npz", Z, Y)
    write_logits(tmp_path / "1.npz", *arrays, **more)
    with pytest.raises(InputError) as error:
        open_logits(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / '1.npz'}: expected shards alike")
    assert message in str(error.value)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("bad", ["logits", "labels"])
def test_the_row_is_that_of_the_shard_however_far_down(suffix, bad, tmp_path, monkeypatch):
    monkeypatch.setattr("recuse.io._reader.CHUNK", 5 * 4 * 6)
    monkeypatch.setattr("recuse.io._write.check_values", lambda *_: None)
    write_logits(tmp_path / f"shard-0{suffix}", Z, Y)
    z, y = Z.copy(), Y.copy()
    (z if bad == "logits" else y)[17] = {"logits": np.nan, "labels": 9}[bad]
    path = tmp_path / f"shard-1{suffix}"
    write_logits(path, z, y)
    with pytest.raises(InputError, match="row 17") as error:
        read(tmp_path / "shard-*")
    assert str(error.value).startswith(f"{path}: expected `{bad}`")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_any_compression_and_order_read_alike(tmp_path, save, order):
    z, y = pixels(9)
    save(tmp_path / "a.npz", logits=np.asarray(z, order=order), labels=np.asarray(y, order=order))
    same(joined(open_logits(tmp_path / "a.npz").chunks(rows=4)), HeldOut(z, y))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_byte_that_flipped_in_an_archive_is_noticed(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, logits=Z, labels=Y)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("logits.npy").header_offset + 30 + 150
    content = bytearray(path.read_bytes())
    content[start] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as npz"):
        read(path)


def test_an_array_that_is_longer_than_its_header_says_is_noticed(tmp_path):
    write_logits(tmp_path / "a.npz", Z, Y)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        content = archive.read("logits.npy").replace(b"(20, 5)", b"(19, 5)")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("logits.npy", content)
    with pytest.raises(InputError, match="expected 19 rows, got more"):
        read(tmp_path / "b.npz")


def test_an_npy_that_was_cut_or_is_no_array_is_one_line(tmp_path):
    write_logits(tmp_path / "a", Z, Y)
    path = tmp_path / "a" / "labels.npy"
    content = path.read_bytes()
    for size in (0, 1, 5, 60, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError) as error:
            read(tmp_path / "a")
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
    np.save(path, np.array([{}] * 20, object))
    with pytest.raises(InputError, match="never unpickled"):
        read(tmp_path / "a")


# A folder is written whole or not at all


def test_a_folder_replaces_only_a_folder_of_its_kind(tmp_path):
    write_logits(tmp_path / "a", Z, Y, ids=np.arange(20))
    write_logits(tmp_path / "a", Z[:9], Y[:9])
    names = ["about.json", "labels.npy", "logits.npy"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names
    assert len(read(tmp_path / "a")) == 9
    (tmp_path / "a" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"a: expected a folder of .*, got thesis\.tex"):
        write_logits(tmp_path / "a", Z, Y)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder to write, got a file"):
        write_logits(tmp_path / "file", Z, Y)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "file"]


def test_a_failed_folder_leaves_the_old_one_and_no_temporary(tmp_path, monkeypatch):
    write_logits(tmp_path / "a", Z, Y)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_logits(tmp_path / "a", Z[:9], Y[:9])
    assert len(read(tmp_path / "a")) == 20
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    write_logits(tmp_path / "a", Z, Y)
    rename = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Permission denied"):
        write_logits(tmp_path / "a", Z[:9], Y[:9])
    assert len(read(tmp_path / "a")) == 20
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# Parquet, as others write it

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def table(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


def lists(z, kind=pa.list_):
    return pa.array(z.tolist(), kind(pa.float32()))


@pytest.mark.parametrize("make", ["lists", "large lists", "fixed lists", "columns", "row groups"])
def test_every_layout_of_a_table_reads_alike(make, tmp_path):
    path, more = tmp_path / "a.parquet", {"label": Y, "group": Y // 2, "id": Y.astype(str)}
    if make == "columns":
        shuffled = {f"logit_{k}": Z[:, k] for k in (3, 0, 4, 1, 2)}
        table(path, **shuffled, image=np.arange(20), **more)
    elif make == "fixed lists":
        table(path, logits=pa.FixedSizeListArray.from_arrays(Z.reshape(-1), 5), **more)
    else:
        column = lists(Z, pa.large_list if make == "large lists" else pa.list_)
        size = 3 if make == "row groups" else None
        parquet.write_table(pa.table({"logits": column, **more}), path, row_group_size=size)
    for file in (read(path), joined(open_logits(path).chunks(rows=6))):
        same(file, HeldOut(Z, Y, Y // 2, Y.astype(str)))


def test_plural_names_categories_and_other_columns_are_read(tmp_path):
    names = pa.array([f"g{i % 3}" for i in range(20)]).dictionary_encode()
    table(tmp_path / "a.parquet", logits=lists(Z), labels=Y, groups=names, note=names)
    assert read(tmp_path / "a.parquet").groups.tolist() == names.to_pylist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_table_keeps_the_dtype_and_text(dtype, tmp_path):
    z, y = sample(20, dtype=dtype)
    ids = np.array([f"é{i}" for i in range(20)])
    written = write_logits(tmp_path / "a.parquet", z, y, ids=ids)
    same(read(tmp_path / "a.parquet"), written)
    assert read(tmp_path / "a.parquet").digest == written.digest


def test_binary_columns_and_labels_in_lists_are_tables_too(tmp_path):
    z, y = one_column(20)
    table(tmp_path / "b.parquet", logits=z[:, 0], label=y)
    same(read(tmp_path / "b.parquet", kind="binary"), HeldOut(np.c_[0 * z, z], y))
    several = pa.array(np.c_[y, 1 - y].tolist())
    table(tmp_path / "m.parquet", logits=lists(np.c_[z, -z]), labels=several)
    file = read(tmp_path / "m.parquet", kind="multilabel")
    assert (file.logits.shape, file.labels.shape) == ((20, 2, 2), (20, 2))


BAD_TABLES = {
    "ragged": (
        {"logits": pa.array([[1.0, 2], [1, 2], [3]])},
        "no list of another length than 2, got 1, row 2",
    ),
    "null list": ({"logits": pa.array([[1.0, 2], None])}, "expected no null.* row 1"),
    "null inside": ({"logits": pa.array([[1.0, 2], [1.0, None]])}, "expected no null.* row 1"),
    "null label": ({"logits": lists(Z[:2]), "label": pa.array([0, None])}, "`label`.* row 1"),
    "text": ({"logits": pa.array(["a", "b"])}, "of a floating dtype"),
    "nested": ({"logits": pa.array([[[1.0]], [[2.0]]])}, "numbers, strings or lists of numbers"),
    "dates": ({"logits": lists(Z[:1]), "label": pa.array([0], pa.date32())}, "got date32"),
    "no logits": ({"label": Y}, "expected columns of outputs such as .*, got label"),
    "a gap": ({"logit_0": Y, "logit_2": Y}, "logit_1 is missing"),
    "both": ({"logits": lists(Z), "logit_0": Y}, "got both"),
    "two labels": ({"logits": lists(Z), "label": Y, "labels": Y}, "one column of labels, got"),
    "float labels": ({"logits": lists(Z), "label": Y * 1.0}, "labels` as integers"),
    "no rows": ({"logits": lists(Z[:0])}, "at least one row"),
    "Booleans": ({"logit_0": Y > 1, "logit_1": Y < 1}, "floating dtype"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_malformed_table_is_one_line(case, tmp_path):
    columns, message = BAD_TABLES[case]
    path = table(tmp_path / "a.parquet", **columns)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_lists_whose_length_changes_between_chunks_are_refused(tmp_path):
    path = table(tmp_path / "a.parquet", logits=pa.array([[1.0, 2]] * 4 + [[1.0, 2, 3]] * 4))
    with pytest.raises(InputError, match=r"of shape \(2,\) in every row, got \(3,\) at row 4"):
        list(open_logits(path).chunks(rows=4))


def test_a_missing_value_far_down_is_named_by_its_row(tmp_path):
    labels = pa.array([*range(5)] * 3 + [0, None, 1, 2, 3])
    path = table(tmp_path / "a.parquet", logits=lists(Z), label=labels)
    with pytest.raises(InputError, match="`label`: expected no null, got 1, row 16"):
        list(open_logits(path).chunks(rows=6))


def test_pixels_and_bfloat16_are_not_for_tables(tmp_path):
    for arrays, message in (
        (pixels(3), r"rows of classes, got logits of shape \(3, 3, 6, 6\)"),
        (sample(4, dtype=ml_dtypes.bfloat16), "parquet holds no bfloat16"),
    ):
        with pytest.raises(InputError, match=message):
            write_logits(tmp_path / "a.parquet", *arrays)
    assert not list(tmp_path.iterdir())


# Several labels a row


def test_several_labels_a_row_are_refused_unless_declared(tmp_path):
    labels = (Z > 0).astype(int)
    np.savez(tmp_path / "m.npz", logits=Z, labels=labels)
    with pytest.raises(InputError, match=r"a row, got \(20, 5\); several .* --multilabel"):
        read(tmp_path / "m.npz")
    file = read(tmp_path / "m.npz", kind="multilabel")
    np.testing.assert_array_equal(file.logits, np.stack([0 * Z, Z], axis=1))
    np.testing.assert_array_equal(file.labels, labels)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (Z, Y, r"`labels` of shape \(20, 5\)"),
        (Z, Z, r"labels` as integers 0\.\.1"),
        (Z, np.full((20, 5), 2), r"`labels` in 0\.\.1, got 2"),
        (Z[:, 0], Y, r"multi-label `logits` of shape \(n, L\), got \(20,\)"),
    ],
)
def test_malformed_multilabel_files_are_one_line(tmp_path, logits, labels, message):
    np.savez(tmp_path / "m.npz", logits=logits, labels=labels)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "m.npz", kind="multilabel")


# What measuring takes


def test_a_file_is_measured_in_chunks_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("recuse.io._reader.CHUNK", 1000)
    z, y = pixels(30)
    y[4:9] = 255  # whole chunks of ignored labels
    write_logits(tmp_path / "a.npz", z, y, ignore_index=255, groups=np.arange(30) // 2)
    reader = open_logits(tmp_path / "a.npz", ignore_index=255)
    assert len(list(reader.chunks())) == 15
    assert measure_file(reader).to_dict() == measure_file(reader.read()).to_dict()
    assert {p.name for p in split_rows(reader.read(), {"a": 1}).values()} == {reader.name}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(125_000, id="500 MB"),
        pytest.param(500_000, id="2 GB", marks=pytest.mark.large),
    ],
)
def test_measuring_takes_the_memory_of_a_chunk(rows, tmp_path):
    folder = large.folder(tmp_path / "large", rows, 1000)
    try:
        rc, out, err, megabytes = large.peak("evaluate", folder, "--json")
    finally:
        shutil.rmtree(folder)
    assert rc == 0, err
    assert json.loads(out)["files"][0]["n"] == rows
    assert megabytes < large.LIMIT + 5 * rows / 1e6
