"""The folder of a run, and the trained models in it.

RUN/run.json                    what must not change when the run goes on
RUN/<model>/seed-<seed>/        tune, calibrate and test logits, weights, log, model.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recuse.errors import InputError
from recuse.io import LogitsFile, read_logits
from recuse.recipes._losses import Variant

RUN, MODEL = "run.json", "model.json"
SPLITS = ("tune", "calibrate", "test")
DATA = "data"  # seed -> digest of its parts, in run.json
SHIFT = "shift"  # the name of the split from another source


@dataclass(frozen=True)
class Model:
    """A trained model: what it is and where its files are."""

    variant: Variant
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Of its loss."""
        return self.variant.name

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder.parents[1]

    def split(self, name: str) -> Path:
        """The logits file of a split.

        Raises:
            InputError: There is none.
        """
        found = [path for path in map(self.folder.joinpath, _names(name)) if path.exists()]
        if not found:
            raise InputError(f"{self.folder}: expected a logits file of the {name} split, got none")
        return found[0]

    def has(self, name: str) -> bool:
        """Whether there are logits of this split."""
        return any((self.folder / file).exists() for file in _names(name))

    @property
    def done(self) -> bool:
        """Whether it is trained and all its logits are saved."""
        return (self.folder / MODEL).exists()


def models_of(out: Path) -> list[Model]:
    """The finished models of a run, by loss and seed.

    Raises:
        InputError: No run is there.
    """
    describe(out)
    found = []
    for path in sorted(out.glob(f"*/seed-*/{MODEL}")):
        about = json.loads(path.read_text(encoding="utf-8"))
        found.append(Model(Variant(about["loss"], about["strength"]), about["seed"], path.parent))
    return sorted(found, key=lambda m: (m.variant.loss, m.variant.strength, m.seed))


def comparable(models: Sequence[Model], seeds: Iterable[int] | None = None) -> list[Model]:
    """Models that have all these seeds, or all that any model has; cross entropy first."""
    wanted = {m.seed for m in models} if seeds is None else set(seeds)
    of = {m.name: {o.seed for o in models if o.name == m.name} for m in models}
    found = [m for m in models if m.seed in wanted and wanted <= of[m.name]]
    return sorted(found, key=lambda m: (m.seed, m.variant.strength != 0))


def describe(out: Path) -> dict[str, Any]:
    """What `run.json` says."""
    try:
        return json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{out}: expected a folder that `recuse train` wrote") from error


def check_data(out: Path, seed: int, data: str) -> None:
    """Make sure that a seed's models are of the same data, by their digest.

    Raises:
        InputError: Other labels or ids than when the seed was begun.
    """
    if describe(out).get(DATA, {}).get(str(seed), data) != data:
        raise InputError(
            f"{out}: holds models of seed {seed} on data with other labels or ids: "
            "expected the same --data, or another --out"
        )


def logits_of(
    models: Sequence[Model], kind: str, splits: Sequence[str] = SPLITS
) -> dict[int, dict[str, dict[str, LogitsFile]]]:
    """Seed -> model -> split -> what was saved.

    Raises:
        InputError: A file is missing or malformed.
    """
    found: dict[int, dict[str, dict[str, LogitsFile]]] = {}
    for model in models:
        files = {split: read_logits(model.split(split), kind=kind) for split in splits}
        found.setdefault(model.seed, {})[model.name] = files
    return found


def _names(split: str) -> tuple[str, str]:
    """What the file of a split may be called."""
    return f"{split}.safetensors", f"{split}.npz"
