"""Folders of images: order, labels, and what cannot be read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recuse import InputError
from recuse.collect._images import Images, ImageTree, image_tree, labels_of, opened, read_class_map

Image = pytest.importorskip("PIL.Image", reason="needs pillow")


def test_labels_are_the_places_of_the_sorted_folders(tree):
    root = tree("data", {"dog": 2, "ant": 1, "bee": 0, "Cat": 3})
    (root / ".hidden").mkdir()
    (root / "ant" / "notes.txt").write_text("no image")
    found = image_tree(root)
    assert found.folders == ("Cat", "ant", "bee", "dog")
    assert found.ids == (
        "Cat/0.png",
        "Cat/1.png",
        "Cat/2.png",
        "ant/0.png",
        "dog/0.png",
        "dog/1.png",
    )
    assert labels_of(found, 4).tolist() == [0, 0, 0, 1, 3, 3]


def test_images_below_a_class_folder_and_behind_links_are_found(tree, tmp_path):
    deep = tree("deep", {"x/y": 1, "x": 1})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(deep)
    assert image_tree(tmp_path / "data").ids == ("link/x/0.png", "link/x/y/0.png")


def test_a_folder_of_images_alone_has_no_labels(tree):
    root = tree("data", 3)
    (root / "0.png").rename(root / "9.PNG")
    found = image_tree(root)
    assert (found.ids, found.folders) == (("1.png", "2.png", "9.PNG"), ())
    assert labels_of(found, 10) is None
    with pytest.raises(InputError, match="expected class folders for --class-map, got none"):
        labels_of(found, 10, {"a": 0})


def test_folders_that_do_not_fit_the_outputs_need_a_class_map(tree, tmp_path):
    found = image_tree(tree("data", {"a": 1, "b": 2}))
    with pytest.raises(
        InputError, match=r"expected 3 class folders.*got 2: give --class-map, a csv"
    ):
        labels_of(found, 3)
    assert labels_of(found, 3, {"a": 2, "b": 0, "c": 1}).tolist() == [2, 0, 0]
    assert labels_of(found, 3, {"a": 1, "b": 1}).tolist() == [1, 1, 1]  # one class in two folders
    for class_map, message in (
        ({"a": 0}, "expected every folder in --class-map, got 1 that are not: b"),
        ({"a": 0, "b": 3}, r"expected --class-map in 0..2, got 3 for b"),
    ):
        with pytest.raises(InputError, match=message):
            labels_of(found, 3, class_map)


def test_wordnet_ids_are_pointed_to_the_map_of_imagenet(tree):
    found = image_tree(tree("data", {"n01440764": 1, "n02102040": 1}))
    with pytest.raises(InputError, match="give --class-map imagenet-1k, or a csv"):
        labels_of(found, 1000)
    pytest.importorskip("timm", reason="needs timm: make test-vision has it")
    labels = labels_of(found, 1000, read_class_map("imagenet-1k"))
    assert labels.tolist() == [0, 217]  # tench, English springer: Imagenette's first two


def test_numbers_that_sort_as_text_are_not_taken_for_the_order_of_the_outputs(tree):
    eleven = image_tree(tree("data", {str(k): 1 for k in range(11)}))
    with pytest.raises(
        InputError, match=r"numbers that sort as text \(0, 1, 10\): give --class-map"
    ):
        labels_of(eleven, 11)
    padded = image_tree(tree("padded", {f"{k:02}": 1 for k in range(11)}))
    assert labels_of(padded, 11).tolist() == list(range(11))


def test_a_class_map_is_read_strictly(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("\ufefffolder,index\ncat, 3\n\ndog,0\n", encoding="utf-8")
    assert read_class_map(str(path)) == {"cat": 3, "dog": 0}
    for text, message in (
        ("cat,3\n", "expected the header folder,index, got cat,3"),
        ("folder,index\ncat\n", "expected folder,index in line 2, got cat"),
        ("folder,index\ncat,-1\n", "line 2, got cat,-1"),
        ("folder,index\ncat,1\ncat,2\n", "expected each folder once, got cat again"),
        ("", "cannot be read as a csv"),
        ("\xff", "cannot be read as a csv"),
    ):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=message) as error:
            read_class_map(str(path))
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        read_class_map("imagenet-2k")


def test_folders_that_are_no_images_are_one_line(tree, tmp_path):
    mixed = tree("mixed", {"a": 1})
    Image.new("RGB", (3, 3)).save(mixed / "x.png")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    for root, message in (
        (mixed, r"got both: x.png and a/"),
        (tmp_path / "empty", r"expected images ending in .bmp, .*, found none"),
        (tmp_path / "none", "no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            image_tree(root)


def test_links_are_followed_and_each_folder_is_read_once(tree, tmp_path):
    root, far = tree("data", {"a": 2, "b": 2}), tree("far", {"x": 1})
    for name, target in (("more", far / "x"), ("again", far / "x"), ("loop", root / "a")):
        (root / "a" / name).symlink_to(target, target_is_directory=True)
    (root / "a" / ".ipynb_checkpoints").mkdir()
    (root / "a" / "1.png").rename(root / "a" / ".ipynb_checkpoints" / "1.png")
    assert image_tree(root).ids == ("a/0.png", "a/again/0.png", "b/0.png", "b/1.png")
    (root / "b" / "up").symlink_to(root, target_is_directory=True)
    with pytest.raises(InputError, match="up: expected images, got a link to a folder that holds"):
        image_tree(root)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(1, 40))
def test_a_limit_is_spread_evenly_over_all(sizes, limit):
    folder = np.repeat(np.arange(len(sizes)), sizes)
    n = len(folder)
    whole = ImageTree("x", tuple(map(str, range(n))), tuple("abcdef"[: len(sizes)]), folder)
    kept = whole.spread(limit)
    assert len(kept.ids) == min(limit, n)
    rows = [int(i) for i in kept.ids]
    assert rows == sorted(set(rows))
    assert kept.folder.tolist() == [folder[i] for i in rows]
    gaps = np.diff([*rows, n + rows[0]]) if rows else []
    assert all(g in (n // len(rows), -(-n // len(rows))) for g in gaps)


def test_an_image_that_cannot_be_read_is_named(tree, tmp_path):
    root = tree("data", {"a": 1})
    rows = Images(root, ("a/0.png", "a/1.png", "a/2.png"), np.array([4, 4, 4]), lambda image: image)
    assert rows[0][0].size == (40, 30)
    assert rows[0][1:] == (4, "a/0.png")
    (root / "a" / "1.png").write_bytes((root / "a" / "0.png").read_bytes()[:200])
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(root / "a" / "2.png")
    with pytest.raises(InputError, match=r"1.png: expected an image, got"):
        rows[1]
    with pytest.raises(InputError, match=r"2.png: expected 8 bits a channel, got mode I"):
        rows[2]
    broken = Images(root, ("a/0.png",), None, lambda image: 1 / 0)
    with pytest.raises(InputError, match=r"0.png: its transform raised ZeroDivisionError"):
        broken[0]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_every_mode_of_8_bits_comes_out_as_asked(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (5, 4)).save(tmp_path / f"x.{suffix}")
    assert opened(tmp_path / f"x.{suffix}", "RGB").mode == "RGB"
    assert opened(tmp_path / f"x.{suffix}", "L").mode == "L"
