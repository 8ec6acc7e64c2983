"""Every score of float32 logits, against torch on one thread.

    python -m benchmarks.scores [--rows 50000]

FixSelectiveClassification's `optimize.p` is restated from its source: MSP and the norms of order 0
to 9, centred once for each, and an AURC of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numba  # noqa: F401  (loaded, as where many rows came before)
import numpy as np
import torch

import recuse as rc
from benchmarks.restated import fix_aurc
from recuse.scores import Score
from recuse.scores._score import score_by_all
from recuse.tuning._candidates import ORDERS

ROUNDS = 3
NORMS = tuple(Score("logit_norm", {"p": p}) for p in range(1, 11))


def timed(call: Callable) -> tuple[float, object]:
    """Least CPU seconds of some calls, on one thread, and what came of them."""
    result, seconds = call(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def torch_norm(z, p):
    """The largest centred logit over their p-norm."""
    v = z - z.mean(1, keepdim=True)
    return v.amax(1) / v.norm(p=p, dim=1)


def torch_norms(z):
    """Ten norms of logits that are centred once."""
    v = z - z.mean(1, keepdim=True)
    return [v.amax(1) / v.norm(p=p, dim=1) for p in range(1, 11)]


def torch_margin(z):
    """The largest logit less the second largest."""
    top = z.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


PEERS: dict[str, Callable] = {
    "msp": lambda z: z.softmax(1).max(1).values,
    "entropy": lambda z: torch.special.entr(z.softmax(1)).sum(1),
    "gini": lambda z: 1 - z.softmax(1).square().sum(1),
    "energy": lambda z: z.logsumexp(1),
    "margin": torch_margin,
    "logit_norm": lambda z: torch_norm(z, 4),
}


def fix_search(z, loss):
    """optimize.p of FixSelectiveClassification, on torch logits."""
    best, chosen = fix_aurc(PEERS["msp"](z), loss), "MSP"
    for p in range(10):
        v = torch.nn.functional.normalize(z - z.mean(1, keepdim=True), p, 1)
        if (area := fix_aurc(v.amax(1), loss)) < best:
            best, chosen = area, p
    return chosen


def our_search(z, loss):
    """MSP and the centred norms of order 1 to 10 and infinity, by AURC."""
    tried = (Score("msp"), *(Score("logit_norm", {"p": p}) for p in ORDERS))
    _, found = score_by_all(z, tried)
    return str(min(zip(tried, found), key=lambda pair: rc.aurc(pair[1], loss))[0])


def line(name: str, seconds: float, peer: float | None, note: str = "") -> None:
    """One row of the table."""
    ratio = "" if peer is None else f"{peer / seconds:9.1f}"
    theirs = "" if peer is None else f"{1e3 * peer:10.0f}"
    print(f"{name:36}{1e3 * seconds:10.0f}{theirs:>10}{ratio:9}  {note}", flush=True)


def compare(title: str, z: np.ndarray) -> None:
    """The table of one set of logits."""
    t = torch.from_numpy(z)
    print(f"\n{title}\n{'':36}{'ours, ms':>10}{'torch':>10}{'ratio':>9}")
    for name, peer in PEERS.items():
        theirs, _ = timed(lambda peer=peer: peer(t))
        ours, _ = timed(lambda name=name: Score(name)(z))
        line(name, ours, theirs)
    theirs, _ = timed(lambda: torch_norms(t))
    ours, _ = timed(lambda: score_by_all(z, NORMS))
    line("logit_norm, ten orders", ours, theirs)
    some = tuple(Score(name) for name in ("gini", "entropy", "msp", "energy"))
    theirs, _ = timed(lambda: [PEERS[score.name](t) for score in some])
    ours, _ = timed(lambda: score_by_all(z, some))
    line("gini, entropy, msp, energy, argmax", ours, theirs)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    n, k = options.rows, 1000
    labels = rng.integers(0, k, n)
    z = rng.standard_normal((n, k), dtype=np.float32)
    z[np.arange(n), labels] += rng.normal(4, 2, n).astype(np.float32)
    z *= rng.uniform(1, 3, (n, 1)).astype(np.float32)
    compare(f"{n:,} x {k:,}", z)
    loss = z.argmax(1) != labels
    peer, theirs = timed(lambda: fix_search(torch.from_numpy(z), torch.from_numpy(loss).float()))
    ours, mine = timed(lambda: our_search(z, loss))
    line("search for p, as FixSelectiveClass.", ours, peer, f"chose {mine}; theirs {theirs}")
    ours, tuned = timed(lambda: rc.tune(z, labels))
    line("tune: 25 scores, learned", ours, None, f"chose {tuned.score}")
    few = 3 * rng.standard_normal((20 * n, 10), dtype=np.float32)
    compare(f"{20 * n:,} x 10", few)
    compare("8 x 19 x 512 x 512", 3 * rng.standard_normal((8, 19, 512, 512), dtype=np.float32))


if __name__ == "__main__":
    main()
