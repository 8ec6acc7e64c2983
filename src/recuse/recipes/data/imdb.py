"""IMDB: 50,000 film reviews, positive or negative, half of them for training.

Reviews of one film are one group, if `train/urls_pos.txt` and the like say which film each is
about; no film of a held-out review is then in the training part. The published test reviews are
about other films than the training reviews.

    x (n, 256) int64 tokens: 0 padding, 1 an unknown word    y (n,): 0 neg, 1 pos

References:
    Maas et al., ACL 2011.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from recuse.errors import InputError
from recuse.recipes.data._parts import Part, Parts, Rows, found, halves, home, split
from recuse.recipes.data.images import visible

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

HELD_OUT, LENGTH, VOCABULARY = 5000, 256, 20_000
PADDING, UNKNOWN, FIRST = 0, 1, 2  # tokens; words are numbered from FIRST
NAMES = ("neg", "pos")
EXPECTED = "train/pos/*.txt, train/neg, test/pos and test/neg"
SOURCE = "aclImdb is at https://ai.stanford.edu/~amaas/data/sentiment/"


class Texts(Rows):
    """Rows of tokens, and the word of each token."""

    def __init__(self, x: Int64[Tensor, "n length"], y: Int64[Tensor, " n"], known: Iterable[str]):
        super().__init__(x, y)
        self.vocabulary = ("<padding>", "<unknown>", *known)


class Review(NamedTuple):
    """A text, its label, its path and the film it is about."""

    text: str
    label: int
    path: str
    film: str


def load(
    folder: Path | str | None,
    seed: int = 0,
    *,
    held_out: int = HELD_OUT,
    length: int = LENGTH,
    vocabulary: int = VOCABULARY,
) -> Parts:
    """Load reviews as tokens; the vocabulary comes from the training part.

    Args:
        folder: Folder with `train` and `test`, each with `pos` and `neg`.
        seed: Seed of the choice of films whose reviews are held out.
        held_out: Training reviews to tune and calibrate, one half each, up to whole films.
        length: Tokens of a review; longer reviews are cut off.
        vocabulary: Number of tokens, with padding and the unknown word.

    Returns:
        Rows whose ids are paths and whose groups are films.

    Raises:
        InputError: A folder is missing or empty, or a file is not text in UTF-8.
    """
    folder = home(folder, "aclImdb", expected=EXPECTED, source=SOURCE)
    train, test = (reviews(folder, part) for part in ("train", "test"))
    film = np.array([review.film for review in train])
    tune, calibrate, rest = split(film, halves(held_out), seed)
    known = words((train[i].text for i in rest), vocabulary)
    chosen = [[train[i] for i in rows] for rows in (rest, tune, calibrate)]
    films = {f: k for k, f in enumerate(sorted({review.film for review in train + test}))}
    parts = [_part(found, known, length, films) for found in (*chosen, test)]
    return Parts(*parts, classes=len(NAMES), names=NAMES)


def reviews(folder: Path, part: str) -> list[Review]:
    """Read the reviews of a part by label and name."""
    read = []
    for label, name in enumerate(NAMES):
        place = folder / part / name
        found(place, expected=EXPECTED, source=SOURCE)
        films = _films(folder / part / f"urls_{name}.txt")
        paths = sorted(path for path in visible(place) if path.suffix == ".txt")
        if not paths:
            raise InputError(f"expected reviews (*.txt) in {place}, got none")
        for path in paths:
            shown = f"{part}/{name}/{path.name}"
            film = films.get(path.stem.split("_")[0], shown)
            read.append(Review(_text(path), label, shown, film))
    return read


def tokenize(text: str) -> list[str]:
    """Return words in lower case, exclamation marks and question marks.

    >>> tokenize("It wasn't bad!<br />Was it?")
    ['it', "wasn't", 'bad', '!', 'was', 'it', '?']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*|[!?]", text.lower().replace("<br />", " "))


def words(texts: Iterable[str], vocabulary: int) -> dict[str, int]:
    """Return the token of each frequent word; ties in frequency are in alphabetical order.

    >>> words(["b a", "c b a a"], vocabulary=4)
    {'a': 2, 'b': 3}
    """
    count = Counter(word for text in texts for word in tokenize(text))
    kept = sorted(count, key=lambda word: (-count[word], word))[: vocabulary - FIRST]
    return {word: token for token, word in enumerate(kept, start=FIRST)}


def tokens(text: str, known: dict[str, int], length: int) -> Int64[np.ndarray, " length"]:
    """Return a text as `length` tokens; a text without words is one unknown word.

    >>> tokens("a zebra", {"a": 2}, 4)
    array([2, 1, 0, 0])
    """
    found = [known.get(word, UNKNOWN) for word in tokenize(text)[:length]] or [UNKNOWN]
    return np.array(found + [PADDING] * (length - len(found)))


def _part(
    found: Sequence[Review], known: dict[str, int], length: int, films: dict[str, int]
) -> Part:
    x = np.stack([tokens(review.text, known, length) for review in found])
    y = torch.tensor([review.label for review in found])
    ids = np.array([review.path for review in found])
    return Part(Texts(torch.from_numpy(x), y, known), ids, np.array([films[r.film] for r in found]))


def _films(path: Path) -> dict[str, str]:
    """Return number of a review -> film; line k is about review k."""
    if not path.exists():
        return {}
    found = (re.search(r"tt\d+", line) for line in _text(path).splitlines())
    return {str(k): film[0] for k, film in enumerate(found) if film}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a text in UTF-8, got other bytes") from error
    except OSError as error:
        raise InputError(f"{path}: expected a text, got {error.strerror}") from error
