"""Tables and texts."""

import csv
import re
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from real_data import real_data
from recuse.errors import InputError
from recuse.recipes.data import imdb, tables

ROWS = 200
columns = st.lists(st.sampled_from(["1", "2", "2.5", "-3", "a", "b", ""]), min_size=2, max_size=9)


def write(path, header, rows, separator=","):
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        [rng.integers(9), *(rng.choice(v) for v in (["red", "green"], [3, 40], ["no", "yes"]))]
        for _ in range(ROWS)
    ]
    return write(tmp_path / "t.csv", ["size", "colour", "code", "bought"], rows)


def test_four_fifths_of_the_rows_are_the_test_part(table):
    parts = tables.load(table, 1, target="bought")
    assert [len(part.data) for part in parts[:4]] == [20, 10, 10, 160]
    assert sorted(np.concatenate([part.ids for part in parts[:4]])) == list(range(ROWS))
    assert (parts.classes, parts.names) == (2, ("no", "yes"))


def test_rows_hold_what_the_file_says(table):
    parts = tables.load(table, target="bought", words=["code"])
    with table.open() as handle:
        rows = list(csv.DictReader(handle))
    size = np.array([float(row["size"]) for row in rows])
    mean, spread = size[parts.train.ids].mean(), size[parts.train.ids].std()
    for part in parts[:4]:
        for k, i in enumerate(part.ids):
            x, y = part.data[k]
            row = rows[i]
            expected = [(float(row["size"]) - mean) / spread]
            expected += [row["colour"] == word for word in ("green", "red")]
            expected += [row["code"] == word for word in ("3", "40")]
            assert torch.allclose(x, torch.tensor(expected, dtype=torch.float32), atol=1e-5)
            assert parts.names[y] == row["bought"]


def test_nothing_but_the_training_rows_decides_the_encoding(table):
    """Changing every held-out value leaves the training rows and their columns as they were."""
    before = tables.load(table, target="bought")
    with table.open() as handle:
        header, *rows = csv.reader(handle)
    kept = set(before.train.ids)
    other = [
        row if i in kept else ["1000", "violet", "7", row[3]] for i, row in enumerate(rows)
    ]  # fmt: skip
    after = tables.load(write(table, header, other), target="bought")
    assert np.array_equal(before.train.ids, after.train.ids)
    assert torch.equal(before.train.data.x, after.train.data.x)
    x, _ = after.test.data[0]
    assert x[1:3].tolist() == [0, 0]  # an unknown colour


@given(columns, st.integers(1, 8), st.booleans())
@settings(deadline=None, derandomize=True)
def test_columns_are_encoded_as_defined(column, train, words):
    column, rows = np.array(column), np.arange(min(train, len(column) - 1))
    got = tables.encoded(column, rows, words=words)
    try:
        value = [float(v) for v in column]
    except ValueError:
        value = None
    if words or value is None:
        known = sorted(set(column[rows]))
        assert got.tolist() == [[float(v == word) for word in known] for v in column]
        return
    seen = [value[i] for i in rows]
    mean = sum(seen) / len(seen)
    spread = (sum((v - mean) ** 2 for v in seen) / len(seen)) ** 0.5
    expected = [(v - mean) / spread if len(set(seen)) > 1 else 0.0 for v in value]
    assert np.allclose(got[:, 0], expected)


def test_either_separator_gives_the_same_bank(tmp_path):
    rng = np.random.default_rng(0)
    rows = [[rng.integers(90), "x, y", rng.integers(900), "ny"[k % 2]] for k in range(60)]
    header = ["age", "job", "duration", "y"]
    found = []
    for separator, place in ((",", "tabular"), (";", "other")):
        (tmp_path / place).mkdir()
        write(tmp_path / place / "bank-full.csv", header, rows, separator)
        found.append(tables.bank(tmp_path if place == "tabular" else tmp_path / place))
    assert torch.equal(found[0].test.data.x, found[1].test.data.x)
    assert found[0].test.data.x.shape[1] == 2  # age, job; not the duration of the call
    assert len(found[0].train.data) == 6


def test_empty_lines_and_words_over_two_lines_are_taken(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + '"one\ntwo",0\n\none,1\n' * 30 + "\n")
    parts = tables.load(path, target="y")
    assert sum(len(part.data) for part in parts[:4]) == 60
    assert parts.test.data.x.shape[1] == 2


def test_spaces_around_values_do_not_count(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a, y\n" + "1,yes\n 2, yes \n3, no\n" * 20)
    assert tables.load(path, target="y").names == ("no", "yes")


def test_words_may_be_numbers_among_others(tmp_path):
    path = write(tmp_path / "t.csv", ["a", "y"], [[k if k % 5 else "NA", k % 2] for k in range(60)])
    assert tables.load(path, target="y", words=["a"]).classes == 2


def test_wrong_tables_are_said_in_one_line(tmp_path, table):
    def refused(match, rows=None, path=None, **options):
        path = path or write(tmp_path / "bad.csv", ["a", "y"], rows or [])
        with pytest.raises(InputError, match=match) as error:
            tables.load(path, **{"target": "y", **options})
        assert "\n" not in str(error.value)

    refused(r"expected a table at .*nowhere.csv", path=tmp_path / "nowhere.csv")
    refused(r"t.csv: expected a column y, got size, colour", path=table)
    refused("expected a column b", [["1", "0"]] * 9, drop=["b"])
    refused(r"bad.csv: expected 2 values, got 3 in row 2", [["1", "0"], ["1", "0", "2"]])
    refused("two or more classes in y", [["1", "0"]] * 50)
    refused("none empty", [["1", "0"], ["1", ""]] * 50)
    refused("rows below it")
    refused("rows to split", [["1", "0"], ["2", "1"]] * 2, shares=(0.5, 0.25, 0.25))
    refused("enough rows for each part", [["1", "0"], ["2", "1"]] * 4)
    refused(
        r"bad.csv: expected 2 classes in y, got 0, 1, 2", [["1", k] for k in "012"] * 9, classes=2
    )
    numbers = [[str(k), str(k % 2)] for k in range(40)]
    for odd in ("NA", "", "1e999"):
        rows = [*numbers[:7], [odd, "1"], *numbers[7:]]
        refused(f"bad.csv: expected numbers in a, got '{odd}' in row 8", rows)
    refused("bad.csv: expected separated values, got a field larger", [["z" * 140_000, "1"]])
    path = write(tmp_path / "twice.csv", ["y", " y"], numbers)
    refused("a header of different names", path=path)
    (tmp_path / "latin.csv").write_bytes("a,y\né,1\n".encode("latin1"))
    refused("in UTF-8", path=tmp_path / "latin.csv")
    for load, name in ((tables.bank, "bank-full.csv"), (tables.shoppers, "online_shoppers")):
        for folder in (None, tmp_path):
            with pytest.raises(InputError, match=rf"{name}.*archive.ics.uci.edu"):
                load(folder)


def test_the_real_tables_have_their_counts():
    folder = real_data("tabular")
    bank, shoppers = tables.bank(folder), tables.shoppers(folder)
    assert sum(len(part.data) for part in bank[:4]) == 45_211
    assert sum(len(part.data) for part in shoppers[:4]) == 12_330
    assert abs(len(bank.test.data) - 0.8 * 45_211) < 2
    for parts, positive in ((bank, 5289), (shoppers, 1908)):
        assert sum(int(part.data.y.sum()) for part in parts[:4]) == positive
        assert torch.isfinite(parts.test.data.x).all()


@pytest.fixture
def reviews(tmp_path):
    """40 training reviews of 10 films, 12 test reviews; review k says k words."""
    for part, count in (("train", 20), ("test", 6)):
        for name in ("neg", "pos"):
            place = tmp_path / part / name
            place.mkdir(parents=True)
            films = [k // 4 + 5 * (name == "pos") for k in range(count)]
            urls = "\n".join(f"http://www.imdb.com/title/tt{film:07}/" for film in films)
            if part == "train":
                (tmp_path / part / f"urls_{name}.txt").write_text(urls)
            for k in range(count):
                words = ["the"] * k + [f"{part}{k}", "good!" if name == "pos" else "bad<br />bad"]
                (place / f"{k}_7.txt").write_text(" ".join(words))
    return tmp_path


def test_reviews_of_one_film_are_in_one_part(reviews):
    parts = imdb.load(reviews, 0, held_out=16)
    assert [len(part.data) for part in parts[:4]] == [24, 8, 8, 12]
    groups = [set(part.groups) for part in parts[:4]]
    assert [len(g) for g in groups] == [6, 2, 2, 12]
    assert len(set.union(*groups)) == 22
    ids = np.concatenate([part.ids for part in parts[:4]])
    assert len(set(ids)) == 52
    for part in parts[:4]:
        assert [("pos" in path) == bool(y) for path, y in zip(part.ids, part.data.y)]


def test_the_vocabulary_is_that_of_the_training_part(reviews):
    parts = imdb.load(reviews, 0, held_out=16, length=8, vocabulary=12)
    taught = parts.train.data
    count = Counter()
    for path in parts.train.ids:
        count.update(
            re.findall(r"[a-z0-9]+|!", (reviews / path).read_text().replace("<br />", " "))
        )
    expected = sorted(count, key=lambda word: (-count[word], word))[:10]
    assert list(taught.vocabulary[2:]) == expected
    for part in parts[:4]:
        assert (part.data.x.shape[1], part.data.x.dtype) == (8, torch.int64)
        for path, x in zip(part.ids, part.data.x.tolist()):
            text = re.findall(r"[a-z0-9]+|!", (reviews / path).read_text().replace("<br />", " "))
            for token, word in zip(x, text[:8]):
                assert token == (expected.index(word) + 2 if word in expected else 1)
            assert x[len(text) :] == [0] * max(0, 8 - len(text))


def test_reviews_without_films_are_groups_of_their_own(reviews):
    for name in ("neg", "pos"):
        (reviews / "train" / f"urls_{name}.txt").unlink()
    parts = imdb.load(reviews, 0, held_out=15)
    assert [len(part.data) for part in parts[:4]] == [25, 7, 8, 12]
    assert len(set(np.concatenate([part.groups for part in parts[:4]]))) == 52


def test_wrong_reviews_are_said_in_one_line(reviews):
    for folder in (None, reviews / "train"):
        with pytest.raises(InputError, match=r"train/pos/\*.txt.*ai.stanford.edu"):
            imdb.load(folder)
    (reviews / "train" / "neg" / "._0_7.txt").write_bytes(b"\xff of a Mac")
    wrong = reviews / "test" / "pos" / "0_7.txt"
    films = reviews / "train" / "urls_pos.txt"
    urls = films.read_bytes()
    for path in (films, wrong):
        path.write_bytes(b"\xff\xfe\xfa")
        with pytest.raises(InputError, match=rf"{path.name}: expected a text in UTF-8"):
            imdb.load(reviews, held_out=4)
        films.write_bytes(urls)
    wrong.unlink()
    wrong.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"0_7.txt: expected a text, got No such file"):
        imdb.load(reviews, held_out=4)
    wrong.unlink()
    wrong.mkdir()
    with pytest.raises(InputError, match=r"0_7.txt: expected a text, got Is a directory"):
        imdb.load(reviews, held_out=4)
    for path in (reviews / "train" / "neg").glob("[0-9]*"):
        path.unlink()
    with pytest.raises(InputError, match=r"expected reviews \(\*.txt\) in .*neg, got none"):
        imdb.load(reviews, held_out=4)
