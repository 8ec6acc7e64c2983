"""How often `tune` replaces MSP where nothing is better, and what that costs.

    python -m tests.validity.false_switches

n = rows, K = classes.
"""

from __future__ import annotations

import numpy as np

from recuse.curves import aurc
from recuse.scores import msp
from recuse.tuning import Tuned, tune

RUNS = 300
FRESH = 20000  # rows that the cost is measured on


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


def cost(tuned: Tuned, z: np.ndarray, y: np.ndarray) -> float:
    """Return what the chosen score adds to the AURC of MSP on new rows, as a share of it."""
    if not tuned.repaired:
        return 0.0
    loss = z.argmax(axis=1) != y
    return aurc(tuned.confidence(z), loss) / aurc(msp(z), loss) - 1


def main() -> None:
    """Print the table."""
    print("| population | n | switched | mean cost | norms alone: switched | mean cost |")
    print("|---|---|---|---|---|---|")
    for population in (noise, calibrated, two_classes):
        fresh = population(FRESH, RUNS)
        for n in (300, 1000):
            row = [population.__name__.replace("_", " "), f"{n:,}"]
            for learned in (True, False):
                found = [tune(*population(n, seed), learned=learned) for seed in range(RUNS)]
                row.append(f"{np.mean([tuned.repaired for tuned in found]):.3f}")
                row.append(f"{100 * np.mean([cost(tuned, *fresh) for tuned in found]):.2f} %")
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
