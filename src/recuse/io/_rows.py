"""Rows of a held-out file, or of a part of it, in memory.

n = rows of the file, K = classes, N = predictions: n, or n * H * W.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_groups
from recuse._internal.files import digest, once
from recuse.errors import InputError
from recuse.present import glance
from recuse.scores import predict

if TYPE_CHECKING:
    from numpy import ndarray as Array

FIELDS = ("logits", "labels", "groups", "ids")
TRAINER_IGNORES = -100  # the label that PyTorch and the Trainer of Transformers do not count


def classes_second(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of axes that puts the classes of a Trainer's predictions second.

    (B, K) and, of images, (B, K, H, W) are that already; of tokens, (B, T, K) is not.
    """
    return (0, 2, 1) if len(shape) == 3 else tuple(range(len(shape)))


CONFIDENCES = "confidences"  # (n, C), with labels of 1 where the answer is right, 0 where not
LOSSES = "losses"  # (n, C) with a loss of each row in place of a label: to measure alone


def of_classes(kind: str) -> bool:
    """Return whether outputs of a kind are of classes, and labels name one of these."""
    return kind not in (CONFIDENCES, LOSSES)


def refuse_confidences(kind: str, why: str) -> None:
    """Refuse outputs that are of no classes."""
    if not of_classes(kind):
        raise InputError(f"expected outputs of classes, got {kind}: {why}")


def no_labels(kind: str) -> str:
    """Return the message on outputs without labels."""
    held = ("`labels`", "logits") if of_classes(kind) else ("`correct`", "confidences")
    return "expected {}, got {} alone".format(*held)


def predicted(logits: Array, kind: str) -> Array:
    """Return the predicted classes; of confidences 1, since each is of an answer being right."""
    return predict(logits) if of_classes(kind) else np.ones(len(logits), np.int64)


SUBGROUP = "subgroup_"  # and a number: arrays of a file, whose names stand in `About`


class About(NamedTuple):
    """What a file says beside its arrays."""

    kind: str | None = None  # None in files of others
    class_names: tuple[str, ...] | None = None
    subgroups: tuple[str, ...] = ()  # names of subgroup_0, subgroup_1, ...
    ignore_index: int | None = None
    ungrouped: tuple[str, ...] = ()  # columns of its table that look like groups and were not used
    model: str | None = None  # name of the model
    columns: Mapping[str, tuple[str, ...]] = {}  # outputs, labels, ids, groups -> of its table

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the arrays that a file may hold."""
        return (*FIELDS, *(f"{SUBGROUP}{i}" for i in range(len(self.subgroups))))

    def to_json(self) -> str:
        """Text for the file."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> About:
        """Read what `to_json` wrote; strict."""
        data = json.loads(text, object_pairs_hook=once)
        names = None if data.get("class_names") is None else tuple(data["class_names"])
        kind, ignored = data["kind"], data["ignore_index"]
        ungrouped, model = tuple(data.get("ungrouped", ())), data.get("model")
        columns = {what: tuple(of) for what, of in data.get("columns", {}).items()}
        found = cls(kind, names, tuple(data["subgroups"]), ignored, ungrouped, model, columns)
        texts = [*(names or ()), *found.subgroups, *ungrouped, found.kind or "", model or ""]
        texts += [column for of in columns.values() for column in of]
        if not all(isinstance(x, str) for x in texts) or type(found.ignore_index) not in NUMBERS:
            raise ValueError("its description is malformed")
        return found


NUMBERS = (int, type(None))


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut(glance.AtAGlance):
    """Checked outputs and labels of rows that the model has not seen.

    `logits` is what scores take, whichever `kind` the outputs came in: the logarithm of
    probabilities, two columns (0, z) of a binary head, C confidences. `outputs` is what came.

    What is computed of the arrays is kept, so that they must not be changed; those that
    `recuse.read` returns are read-only. `dataclasses.replace` gives a file with other arrays.
    """

    logits: Array  # (n, K) or (n, K, H, W)
    labels: Array | None = None  # (n,) or (n, H, W); of confidences, 1 where right, 0 where not
    groups: Array | None = None  # (n,)
    ids: Array | None = None  # (n,)
    name: str = "`logits`"  # for messages
    ignore_index: int | None = None  # the label of predictions that do not count
    kind: str = "logits"  # of the outputs
    class_names: tuple[str, ...] | None = None  # of the K classes, or of C confidences, in order
    subgroups: Mapping[str, Array] = field(default_factory=dict)  # name -> (n,)
    probs: Array | None = field(default=None, repr=False)  # the outputs, of kind "probs"
    ungrouped: tuple[str, ...] = ()  # columns of its table that look like groups and were not used
    by_content: bool = False  # whether groups are numbers of equal rows, since nothing names them
    model: str | None = None  # its name, with a digest of its weights where that is known
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # those of its table

    def _card(self) -> glance.Card:
        return glance.held_out(self)

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def digest(self) -> str:
        """Digest of logits and labels."""
        return digest(*(a for a in (self.logits, self.labels) if a is not None))

    @property
    def outputs(self) -> Array:
        """The outputs as they came, of this `kind`."""
        if self.kind == "binary":
            return self.logits[:, 1:]
        return self.logits if self.probs is None else self.probs

    @cached_property
    def predicted(self) -> Array:
        """The predicted class of each prediction; of confidences 1."""
        return predicted(self.logits, self.kind)

    @property
    def loss(self) -> Array:
        """The 0-1 loss of each prediction; of a table of losses, these."""
        _, labels = self.labelled()
        return labels if self.kind == LOSSES else self.predicted != labels

    @property
    def about(self) -> About:
        """What a file says beside its arrays."""
        doubts = self.ungrouped if self.groups is None else ()
        names, of = self.class_names, tuple(self.subgroups)
        return About(
            self.kind, names, of, self.ignore_index, doubts, self.model, dict(self.columns)
        )

    def subgroup(self, name: str) -> Array:
        """Return the subgroup of each row by the name of its column."""
        if name not in self.subgroups:
            held = ", ".join(self.subgroups) or "none"
            raise InputError(f"{self.name}: expected subgroups {name!r}, got {held}")
        return self.subgroups[name]

    def in_order(self, names: tuple[str, ...]) -> HeldOut:
        """Return the file with its classes, or confidences, in another order, and labels to match.

        Args:
            names: Those of the file, which has a column for each.
        """
        order = [self.class_names.index(name) for name in names]  # ty: ignore
        labels = self.labels
        if labels is not None and of_classes(self.kind):
            place = np.argsort(order)
            kept = np.ones(labels.shape, bool)
            if self.ignore_index is not None:
                kept = labels != self.ignore_index
            labels = np.where(kept, place[np.where(kept, labels, 0)], labels)
        probs = None if self.probs is None else self.probs[:, order]
        logits = self.logits[:, order]
        return replace(self, logits=logits, labels=labels, probs=probs, class_names=names)

    def rows(self, index: Array | slice) -> HeldOut:
        """Return the rows of an index or mask."""
        arrays = {f: getattr(self, f) for f in (*FIELDS, "probs")}
        picked: dict[str, Any] = {f: a if a is None else a[index] for f, a in arrays.items()}
        return replace(self, **picked, subgroups={k: a[index] for k, a in self.subgroups.items()})

    def units(self) -> Array | None:
        """Return the groups (n,) of dependent predictions; None if all rows are independent.

        Pixels of one image depend on each other: without groups in the file, each image is a
        group, named by its id or else by its content.
        """
        if self.groups is not None or self.logits.ndim == 2:
            return self.groups
        return self._contents() if self.ids is None else self.ids

    def predictions(self) -> HeldOut:
        """Return a row for each prediction that counts: (N, K), labels (N,), `units` as groups."""
        flat = self
        if self.logits.ndim > 2:
            pixels = self.logits[0, 0].size
            z = np.moveaxis(self.logits, 1, -1).reshape(-1, self.logits.shape[1])
            y = None if self.labels is None else self.labels.reshape(-1)
            groups = np.repeat(self.units(), pixels)  # ty: ignore[no-matching-overload]
            of = {name: np.repeat(a, pixels) for name, a in self.subgroups.items()}
            flat = replace(
                self, logits=z, labels=y, groups=groups, ids=None, subgroups=of, probs=None
            )
            flat = replace(flat, by_content=self.groups is None and self.ids is None)
        if self.ignore_index is None or flat.labels is None:
            return flat
        kept = flat.labels != self.ignore_index
        if not kept.any():
            raise InputError(f"{self.name}: every label is the ignored {self.ignore_index}")
        return replace(flat.rows(kept), ignore_index=None)

    def _contents(self) -> Array:
        """Return a number for each row that only an equal row shares, in any file."""
        return np.array([int(digest(row.astype(np.float64))[7:22], 16) for row in self.logits])

    def labelled(self) -> tuple[Array, Array]:
        """Return logits and labels; refuse a file without labels."""
        if self.labels is None:
            raise InputError(f"{self.name}: {no_labels(self.kind)}")
        return self.logits, self.labels


def split_rows(file: HeldOut, parts: Mapping[str, float], *, seed: int = 0) -> dict[str, HeldOut]:
    """Cut a file into disjoint parts at random, by group where it has groups.

    Args:
        file: Rows as `read` returns them.
        parts: Name -> fraction; the fractions sum to 1.
        seed: Random seed of the permutation.

    Raises:
        InputError: Fractions that do not sum to 1, or a part that would be empty.
    """
    total = sum(parts.values())
    if not (all(share > 0 for share in parts.values()) and abs(total - 1) <= 1e-9):
        raise InputError(f"expected parts > 0 that sum to 1, got {dict(parts)} (sum {total:g})")
    code = np.arange(len(file)) if file.groups is None else check_groups(file.groups, len(file))
    units = int(code.max()) + 1
    cuts = np.round(np.cumsum([0.0, *parts.values()]) * units).astype(int)
    place = np.random.default_rng(seed).permutation(units)[code]
    out = {}
    for name, low, high in zip(parts, cuts[:-1], cuts[1:]):
        inside = (place >= low) & (place < high)
        if not inside.any():
            raise InputError(f"{file.name}: part {name!r} would be empty ({units} units to cut)")
        out[name] = file.rows(inside)
    return out
