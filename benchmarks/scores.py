"""Scores of float32 logits, against torch on one thread.

    python -m benchmarks.scores [--rows 50000] [--no-compile]

"error" is the largest error against float64, relative for MSP (as probability) and the norms,
absolute for the entropy. FixSelectiveClassification's `optimize.p` is restated from its source:
MSP and the norms of order 0 to 9, centred once for each, and an AURC of each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import recuse as rc
from benchmarks.restated import fix_aurc
from recuse.scores import as_probability
from recuse.tuning._candidates import ORDERS, sweep

ROUNDS = 3


def timed(call: Callable) -> tuple[float, object]:
    """Median CPU seconds, on one thread, and what came of it."""
    result, seconds = call(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def torch_msp(z):
    """Softmax, then maximum."""
    return z.softmax(1).amax(1)


def torch_entropy(z):
    """As FixSelectiveClassification computes it."""
    return torch.special.entr(z.softmax(1)).sum(1)


def torch_four(z):
    """MSP, entropy, log-sum-exp and prediction."""
    return torch_msp(z), torch_entropy(z), z.logsumexp(1), z.argmax(1)


def torch_norms(z):
    """Ten norms of the centred logits, and the normalised maximum of each."""
    v = z - z.mean(1, keepdim=True)
    top = v.amax(1)
    return [top / v.norm(p=p, dim=1) for p in range(1, 11)]


def torch_all(z):
    """All of these."""
    return *torch_four(z), *torch_norms(z)


def fix_search(z, loss):
    """optimize.p of FixSelectiveClassification, on torch logits."""
    best, chosen = fix_aurc(torch_msp(z), loss), "MSP"
    for p in range(10):
        v = torch.nn.functional.normalize(z - z.mean(1, keepdim=True), p, 1)
        if (area := fix_aurc(v.amax(1), loss)) < best:
            best, chosen = area, p
    return chosen


def our_search(z, loss):
    """MSP and the centred norms of order 1 to 10 and infinity, by AURC."""
    found = sweep(z, softmax=("msp",), uncentered=False)
    areas = {"MSP": rc.aurc(found.softmax["msp"], loss)}
    areas |= {p: rc.aurc(found.centered[p], loss) for p in ORDERS}
    return min(areas, key=lambda name: areas[name])


def line(name: str, seconds: float, peer: float | None, note: str = "") -> None:
    """One row of the table."""
    ratio = "" if peer is None else f"{peer / seconds:9.1f}"
    print(f"{name:44}{1e3 * seconds:10.1f}{ratio:9}  {note}", flush=True)


def compare(title: str, z: np.ndarray, compile_too: bool) -> None:
    """The table of one set of logits."""
    t = torch.from_numpy(z)
    print(f"\n{title}\n{'':44}{'ms':>10}{'ratio':>9}")
    exact = sweep_exact(z)
    msp, p = timed(lambda: torch_msp(t))
    line("torch: MSP", msp, None, f"error {relative(p.numpy(), exact['msp']):.1e}")
    entropy, h = timed(lambda: torch_entropy(t))
    line("torch: entropy", entropy, None, f"error {absolute(-h.numpy(), exact['entropy']):.1e}")
    four, _ = timed(lambda: torch_four(t))
    line("torch: MSP, entropy, log-sum-exp, argmax", four, None)
    every, _ = timed(lambda: torch_all(t))
    line("torch: these and ten norms", every, None)
    if compile_too:
        compiled, _ = timed(lambda: torch.compile(torch_all)(t))
        line("torch.compile: these and ten norms", compiled, every / 1)
    ours, found = timed(lambda: sweep(z, centered=False, uncentered=False))
    note = (
        f"error {relative(as_probability(found.softmax['msp']), exact['msp']):.1e}, "
        f"{absolute(found.softmax['entropy'], exact['entropy']):.1e}"
    )
    line("ours: MSP, entropy, log-sum-exp, argmax, ...", ours, four, note)
    ours, _ = timed(lambda: sweep(z, softmax=("msp",), centered=False, uncentered=False))
    line("ours: MSP and argmax", ours, msp)
    ours, found = timed(lambda: sweep(z, uncentered=False))
    worst = max(relative(found.centered[p], exact[p]) for p in range(1, 11))
    line("ours: these and eleven norms", ours, every, f"error {worst:.1e}")
    ours, _ = timed(lambda: sweep(z))
    line("ours: these and 22 norms, centred or not", ours, every)


def sweep_exact(z: np.ndarray) -> dict:
    """Some rows on the float64 path."""
    some = z[: max(1, 2_000_000 // z[0].size)].astype(np.float64)
    exact = {"msp": as_probability(rc.scores.msp(some)), "entropy": rc.scores.entropy(some)}
    norms = rc.scores.logit_norms(some, ps=range(1, 11))
    return exact | dict(zip(range(1, 11), norms))


def relative(found, exact) -> float:
    """The largest relative error of the rows that are known exactly."""
    return float(np.max(np.abs(found[: len(exact)] / exact - 1)))


def absolute(found, exact) -> float:
    """The largest absolute error of the rows that are known exactly."""
    return float(np.max(np.abs(found[: len(exact)] - exact)))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    n, k = options.rows, 1000
    labels = rng.integers(0, k, n)
    z = rng.standard_normal((n, k), dtype=np.float32)
    z[np.arange(n), labels] += rng.normal(4, 2, n).astype(np.float32)
    z *= rng.uniform(1, 3, (n, 1)).astype(np.float32)
    compare(f"{n:,} x {k:,}", z, not options.no_compile)
    loss = z.argmax(1) != labels
    peer, theirs = timed(lambda: fix_search(torch.from_numpy(z), torch.from_numpy(loss).float()))
    ours, mine = timed(lambda: our_search(z, loss))
    print(f"\n{'the search for p':44}{'ms':>10}{'ratio':>9}")
    line("FixSelectiveClassification (restated)", peer, None, f"chose {theirs}")
    line("ours, 11 orders", ours, peer, f"chose {mine}")
    whole, tuned = timed(lambda: rc.tune(z, labels))
    line("ours, tune: 25 scores, learned, cross-fitted", whole, peer, f"chose {tuned.score}")
    pixels = 3 * rng.standard_normal((8, 19, 512, 512), dtype=np.float32)
    compare("8 x 19 x 512 x 512", pixels, not options.no_compile)


if __name__ == "__main__":
    main()
