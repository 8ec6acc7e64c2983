"""How often `tune` replaces MSP where nothing is better: `python -m tests.validity.false_switches`.

n = rows, K = classes.
"""

from __future__ import annotations

import numpy as np

from recuse.tuning import tune

RUNS = 500


def noise(n: int, seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Every score is noise: errors fall anywhere."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)).astype(np.float32)
    labels = np.where(rng.uniform(size=n) < 0.7, z.argmax(axis=1), rng.integers(0, classes, n))
    return z, labels


def calibrated(n: int, seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels are drawn from the softmax: MSP is the best order."""
    rng = np.random.default_rng(seed)
    z = (2.5 * rng.normal(size=(n, classes))).astype(np.float32)
    return z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def two_classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`noise` with two classes: only the learned score is tried."""
    return noise(n, seed, 2)


def main() -> None:
    """Print the table."""
    print("| population | n | candidates alone | learned alone | switched |")
    print("|---|---|---|---|---|")
    for population in (noise, calibrated, two_classes):
        for n in (300, 1000):
            found = [tune(*population(n, seed)) for seed in range(RUNS)]
            alone = {
                family: np.mean(
                    [any(t.family == family and t.beats_msp() for t in r.trials) for r in found]
                )
                for family in ("candidates", "learned")
            }
            switched = np.mean([r.repaired for r in found])
            row = " | ".join(f"{rate:.3f}" for rate in (*alone.values(), switched))
            print(f"| {population.__name__.replace('_', ' ')} | {n:,} | {row} |", flush=True)


if __name__ == "__main__":
    main()
