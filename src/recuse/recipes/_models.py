"""Folder of a run, and the trained models in it.

RUN/run.json                    settings that must not change when the run is resumed
RUN/<model>/seed-<seed>/        tune, calibrate and test logits, weights, log, model.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recuse.errors import InputError
from recuse.io import HeldOut, read
from recuse.recipes._recipe import Variant

RUN, MODEL = "run.json", "model.json"
SPLITS = ("tune", "calibrate", "test")
DATA = "data"  # in run.json: seed -> digest of its data
SHIFT = "shift"  # split with the test classes from another source


@dataclass(frozen=True)
class Model:
    """A trained model and its files.

    Attributes:
        variant: Loss and strength.
        seed: Seed of the split, the initialisation and the batches.
        folder: Folder of its files.
    """

    variant: Variant
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name of its loss and strength."""
        return self.variant.name

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.folder.parents[1]

    def split(self, name: str) -> Path:
        """Return the path of the held-out file of a split.

        Raises:
            InputError: There is none.
        """
        for path in self._paths(name):
            if path.exists():
                return path
        raise InputError(f"{self.folder}: expected a held-out file of the {name} split, got none")

    def has(self, name: str) -> bool:
        """Return True if there is a held-out file of this split."""
        return any(path.exists() for path in self._paths(name))

    @property
    def done(self) -> bool:
        """True if it is trained and its logits are saved."""
        return (self.folder / MODEL).exists()

    def _paths(self, split: str) -> tuple[Path, Path]:
        return self.folder / f"{split}.safetensors", self.folder / f"{split}.npz"


def models_of(out: Path) -> list[Model]:
    """Return the finished models of a run, ordered by loss, strength and seed.

    Raises:
        InputError: `out` is not the folder of a run.
    """
    describe(out)
    found = []
    for path in sorted(out.glob(f"*/seed-*/{MODEL}")):
        about = json.loads(path.read_text(encoding="utf-8"))
        found.append(Model(Variant(about["loss"], about["strength"]), about["seed"], path.parent))
    return sorted(found, key=lambda m: (m.variant.loss, m.variant.strength, m.seed))


def comparable(models: Sequence[Model], seeds: Iterable[int] | None = None) -> list[Model]:
    """Return the models whose loss has all these seeds, by seed, cross entropy first.

    Without `seeds`, every seed of any model is required.
    """
    wanted = {m.seed for m in models} if seeds is None else set(seeds)
    of = {m.name: {o.seed for o in models if o.name == m.name} for m in models}
    found = [m for m in models if m.seed in wanted and wanted <= of[m.name]]
    return sorted(found, key=lambda m: (m.seed, m.variant.strength != 0))


def describe(out: Path) -> dict[str, Any]:
    """Return the contents of `run.json`."""
    try:
        return json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{out}: expected a folder that `recuse train` wrote") from error


def check_data(out: Path, seed: int, data: str) -> None:
    """Check by a digest that all models of a seed have the same data.

    Raises:
        InputError: The labels or ids are not those of the first model of this seed.
    """
    if describe(out).get(DATA, {}).get(str(seed), data) != data:
        raise InputError(
            f"{out}: holds models of seed {seed} on data with other labels or ids: "
            "expected the same --data, or another --out"
        )


def logits_of(
    models: Sequence[Model], kind: str, splits: Sequence[str] = SPLITS
) -> dict[int, dict[str, dict[str, HeldOut]]]:
    """Read the held-out files: seed -> name of the model -> split -> file.

    Raises:
        InputError: A file is missing or malformed.
    """
    found: dict[int, dict[str, dict[str, HeldOut]]] = {}
    for model in models:
        files = {split: read(model.split(split), kind=kind) for split in splits}
        found.setdefault(model.seed, {})[model.name] = files
    return found
