"""How often `predict` says that outputs are not those of the model that a rejector was fitted to.

    python -m benchmarks.fingerprint

On the models of `recuse demo` (four seeds, two losses; one row of each image), and on random logits
with few rows of each predicted class, where nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import log_softmax, softmax

from recuse.recipes import digits
from recuse.rejector._model import fingerprint

SEEDS, SMOOTHINGS, ORDERS = range(4), (0.0, 0.2), 10
DRAWS = 50

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same model": lambda z: z,
    "times 5": lambda z: 5 * z,
    "times 2": lambda z: 2 * z,
    "divided by 2": lambda z: z / 2,
    "divided by 5": lambda z: z / 5,
    "softmax": lambda z: softmax(z, axis=1),
    "log-softmax": lambda z: log_softmax(z, axis=1),
}


def one_of_each(split: digits.Split, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the first copies of each image."""
    kept = split.ids % digits.REPLICATES < copies
    return split.logits[kept].astype(float), split.labels[kept]


def comparisons() -> Iterator[tuple[str, bool]]:
    """What was compared with the calibration rows of a model of the demo, and whether it alarms."""
    runs = {seed: digits.train(seed, SMOOTHINGS) for seed in SEEDS}
    rng = np.random.default_rng(0)
    for seed, models in runs.items():
        for smoothing, splits in models.items():
            known = fingerprint(None, one_of_each(splits["calibrate"], 3)[0])

            def alarms(z, known=known):
                return bool(known.changes(None, z, len(z)))

            z, y = one_of_each(splits["test"])
            for name, transform in TRANSFORMS.items():
                yield name, alarms(transform(z))
            for k in range(0, 10, 2):
                yield "two classes of ten", alarms(z[(y == k) | (y == k + 1)])
            (other,) = (s for s in SMOOTHINGS if s != smoothing)
            yield "the model of the other loss", alarms(one_of_each(models[other]["test"])[0])
            for s in set(runs) - {seed}:
                another = runs[s][smoothing]["test"]
                yield "another seed", alarms(one_of_each(another)[0])
            for _ in range(ORDERS):
                order = rng.permutation(10)
                yield "columns in random order", alarms(z[:, order])
                more = one_of_each(splits["test"], 8)[0]
                yield "columns in random order, 6,376 rows", alarms(more[:, order])


def random_logits(classes: int, rows: int) -> Iterator[tuple[str, bool]]:
    """Normal logits, so that any class may be the runner-up, twice from the same distribution."""
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        old, new = rng.standard_normal((2, rows * classes, classes))
        name = f"random logits, {classes:,} classes, {rows} rows each"
        yield name, bool(fingerprint(None, old).changes(None, new, len(new)))


def main() -> None:
    """Print the table."""
    found: dict[str, list[bool]] = {}
    few = ((100, 12), (100, 25), (100, 100), (300, 25))
    for name, alarm in [*comparisons(), *(x for c in few for x in random_logits(*c))]:
        found.setdefault(name, []).append(alarm)
    for name, alarms in found.items():
        print(f"{name:45} {sum(alarms):4} of {len(alarms)}")


if __name__ == "__main__":
    main()
