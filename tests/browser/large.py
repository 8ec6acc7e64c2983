"""How large and how slow a large report is: 5 models, 50,000 test predictions, 1,000 classes.

    python tests/browser/large.py [report.html]

n = rows, K = classes.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import recuse
from recuse.reports import details, report

MODELS, CLASSES = 5, 1000
SIZES = {"tune": 5_000, "calibrate": 20_000, "test": 50_000}


def main(path: Path) -> None:
    """Print seconds and megabytes."""
    splits = {name: draw(seed, n) for seed, (name, n) in enumerate(SIZES.items())}
    models = {f"model {i}": changed(splits, i) for i in range(MODELS)}
    names = [f"class {i}" for i in range(CLASSES)]
    found = timed("scoring", lambda: recuse.evaluate(models, learned=False))
    extra = timed("details", lambda: details(found, models, classes=names))
    timed("page", lambda: report(found, path, details=extra))
    curves = sum(1 + m.repaired for m in found.models)
    print(f"{curves} curves, {path.stat().st_size / 1e6:.2f} MB")


def draw(seed, n):
    """Logits (n, K) float16, right more often where they are large.

    A class that is never predicted tells of errors, so that MSP is replaced: two curves a model.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    logits = rng.normal(size=(n, CLASSES)).astype(np.float16)
    logits[np.arange(n), labels] += rng.uniform(0, 8, n).astype(np.float16)
    logits[:, -1] = -10 - 20 * (logits.argmax(axis=1) != labels)
    return logits, labels


def changed(splits, i):
    """Another model: nearly the same."""
    return {name: (z * np.float16(1 + i / 8), labels) for name, (z, labels) in splits.items()}


def timed(what, run):
    """The result; its seconds are printed, of the wall and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    out = run()
    passed, worked = time.perf_counter() - start, time.process_time() - used
    print(f"{what}: {passed:.1f} s, {worked:.1f} s of a processor", flush=True)
    return out


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1] if sys.argv[1:] else f"{folder}/report.html"))
