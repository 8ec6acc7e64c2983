"""The calls that users make, beside the peers': CPU time of one thread, and memory.

    python -m benchmarks.calls [PATTERN]    only the calls in which the pattern is found

`make bench-calls` builds an environment with the peers; those that are not installed are left out.
Each call is made once to warm up (numba is loaded, as where many rows came before), once for the
memory that it takes above its input, and then timed, the least of three. "limit" is the time to
read the input once. Rows of FixSelectiveClassification are restated from its source.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import time
from pathlib import Path
from typing import Any

import numba  # noqa: F401  (loaded, as where many rows came before)
import numpy as np
import torch
from scipy.special import expit  # noqa: F401

import recuse as rc  # noqa: F401
from benchmarks import restated

ROUNDS = 3
LOGITS = """
z = rng.standard_normal(({n}, {k}), dtype=np.float32)
y = rng.integers(0, {k}, {n})
z[np.arange({n}), y] += rng.normal({k} ** 0.2, 2, {n}).astype(np.float32)
t, s = torch.from_numpy(z), torch.from_numpy(y)
"""
RANKED = """
p = rng.beta(5, 1, {n}).astype(np.float32)
l = rng.random({n}) > p
b = np.clip(p + rng.normal(0, 0.05, {n}), 0, 1).astype(np.float32)
"""
LOSSES = """
z = torch.randn({shape}, generator=torch.Generator().manual_seed(0)).requires_grad_()
s = torch.randint(0, {k}, {target})
"""
REJECTOR = """
r = rc.fit(*[(z[i::2], y[i::2]) for i in range(2)], target_risk=0.3, learned=False)
"""
SCORES = {
    "msp": "t.softmax(1).max(1).values",
    "entropy": "torch.special.entr(t.softmax(1)).sum(1)",
    "gini": "1 - t.softmax(1).square().sum(1)",
    "energy": "t.logsumexp(1)",
    "margin": "torch.sub(*t.topk(2, dim=1).values.unbind(1))",
    "max_logit": "t.amax(1)",
}
NORM = "[v := t - t.mean(1, keepdim=True), v.amax(1) / v.norm(p=4, dim=1)]"
NORMS = "[v := t - t.mean(1, keepdim=True), [v.amax(1) / v.norm(p=q, dim=1) for q in orders]]"
ORDERS = "orders = range(1, 11)"
SCORED: tuple[tuple[str, str, str], ...] = (
    *((f"rc.scores.{name}(z)", "torch", peer) for name, peer in SCORES.items()),
    ("rc.scores.logit_norm(z, p=4)", "torch", NORM),
)
RESAMPLED = (
    "[torch_uncertainty('AURC', p[i], l[i]) for i in rng.integers(0, l.size, (100, l.size))]"
)
LOSS = ("rc.losses.smoothed_cross_entropy(z, s).backward()", "torch", "cross_entropy(z, s)")

# Of each: the data, and calls with the name of the peer and the peer's call.
TABLE: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "50,000 x 1,000",
        LOGITS.format(n=50_000, k=1_000) + ORDERS,
        (*SCORED, ("rc.scores.logit_norms(z, ps=orders)", "torch", NORMS)),
    ),
    (
        "1,000,000 x 10",
        LOGITS.format(n=1_000_000, k=10),
        (
            *SCORED,
            ("rc.calibration.classwise_ece(z, y)", "torch-uncertainty", "classwise(t, s)"),
            ("rc.calibration.nll(z, y)", "torch", "torch.nn.functional.cross_entropy(t, s)"),
        ),
    ),
    (
        "8 x 19 x 512 x 512",
        "z = 3 * rng.standard_normal((8, 19, 512, 512), dtype=np.float32)\nt = torch.from_numpy(z)",
        SCORED,
    ),
    (
        "20,000 x 1,000",
        LOGITS.format(n=20_000, k=1_000) + REJECTOR,
        (
            ("r.predict(z)", "torch, softmax.max", "t.softmax(1).max(1)"),
            ("rc.tune(z, y)", "FixSelectiveClassification", "search(t, s)"),
            ("rc.calibration.fit_temperature(z, y)", "torch, L-BFGS", "temperature(t, s)"),
            ("rc.calibration.nll(z, y)", "torch", "torch.nn.functional.cross_entropy(t, s)"),
        ),
    ),
    (
        "1,000 x 1,000",
        LOGITS.format(n=1_000, k=1_000) + REJECTOR,
        (("r.predict(z)", "torch, softmax.max", "t.softmax(1).max(1)"),),
    ),
    (
        "1 x 10",
        LOGITS.format(n=1_000, k=10) + REJECTOR + "z, t = z[:1], t[:1]",
        (
            ("r.predict(z)", "torch, softmax.max", "t.softmax(1).max(1)"),
            ("rc.scores.msp(z)", "torch", SCORES["msp"]),
        ),
    ),
    (
        "50,000",
        RANKED.format(n=50_000),
        (
            ("rc.aurc(p, l)", "torch-uncertainty", "torch_uncertainty('AURC', p, l)"),
            (
                "rc.intervals.bootstrap(p, l, replicates=100)",
                "torch-uncertainty, resampled",
                RESAMPLED,
            ),
            ("rc.intervals.standard_error(p, l)", "", ""),
            ("rc.intervals.compare(p, l, b, l)", "", ""),
        ),
    ),
    (
        "5,000",
        RANKED.format(n=10_000) + "halves = [(p[i::2], l[i::2].astype(float)) for i in range(2)]",
        (
            (
                "rc.select(*halves[1], tune=halves[0], target_risk=0.1)",
                "MAPIE",
                "mapie(*halves[1])",
            ),
        ),
    ),
    *(
        (
            f"{n:,}",
            RANKED.format(n=n),
            (
                ("rc.aurc(p, l)", "torch-uncertainty", "torch_uncertainty('AURC', p, l)"),
                ("rc.augrc(p, l)", "torch-uncertainty", "torch_uncertainty('AUGRC', p, l)"),
                (
                    "rc.coverage_at_risk(p, l, 0.1)",
                    "torch-uncertainty",
                    "torch_uncertainty('CovAtxRisk', p, l, risk_threshold=0.1)",
                ),
                (
                    "rc.CurveSketch().update(p, l)",
                    "torch-uncertainty, AURC",
                    "torch_uncertainty('AURC', p, l)",
                ),
                (
                    "rc.calibration.ece(p, l)",
                    "torchmetrics",
                    "binary_calibration_error(p, l)",
                ),
                ("rc.calibration.ece(p, l)", "netcal", "netcal(p, l)"),
                (
                    "rc.calibration.reliability(p, l)",
                    "scikit-learn",
                    "calibration_curve(p, l)",
                ),
                ("rc.calibration.smooth_ece(p, l)", "relplot", "relplot(p, l)"),
                ("rc.scores.as_probability(p)", "scipy", "expit(p.astype(float))"),
                ("rc.evaluation.auroc(p[~l], p[l])", "scikit-learn", "roc_auc_score(p, l)"),
                ("rc.intervals.standard_error(p, l)", "", ""),
                ("rc.intervals.interval(p, l)", "", ""),
                ("rc.intervals.compare(p, l, b, l)", "", ""),
            ),
        )
        for n in (1_000_000, 10_000_000)
    ),
    *(
        (title, LOSSES.format(shape=shape, k=k, target=target), (LOSS,))
        for title, shape, k, target in (
            ("4,096 x 1,000", (4096, 1000), 1000, (4096,)),
            ("1,024 x 32,000", (1024, 32_000), 32_000, (1024,)),
            ("8 x 19 x 512 x 512", (8, 19, 512, 512), 19, (8, 512, 512)),
        )
    ),
)


# The peers, each imported when it is called


def torch_uncertainty(name, confidence, loss, **options):
    """One of its metrics."""
    from benchmarks.peers import torch_uncertainty

    return torch_uncertainty(name, confidence, loss, **options)


def classwise(t, s):
    """torch-uncertainty's class-wise error of calibration."""
    from benchmarks.peers import classification

    metric = classification.ClasswiseCalibrationError(num_classes=t.shape[1])
    metric.update(t.softmax(1), s)
    return metric.compute()


def mapie(confidence, loss):
    """MAPIE's binary controller on its own grid of thresholds."""
    from benchmarks.selectors import mapie

    return mapie(0.1, (confidence, loss.astype(float)), "bonferroni_holm", None, None)


def binary_calibration_error(p, l):
    """torchmetrics' ECE."""
    from torchmetrics.functional.classification import binary_calibration_error

    return binary_calibration_error(torch.from_numpy(p), torch.from_numpy(~l), n_bins=15)


def netcal(p, l):
    """netcal's ECE."""
    from netcal.metrics import ECE

    return ECE(15).measure(p, 1 * ~l)


def relplot(p, l):
    """relplot's smooth ECE."""
    import relplot

    return relplot.smECE(p, 1 * ~l)


def calibration_curve(p, l):
    """scikit-learn's curve of reliability."""
    from sklearn.calibration import calibration_curve

    return calibration_curve(~l, p, n_bins=15)


def roc_auc_score(p, l):
    """scikit-learn's AUROC."""
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(~l, p)


def search(t, s):
    """optimize.p of FixSelectiveClassification: MSP and norms of order 0 to 9, an AURC of each."""
    loss = (t.argmax(1) != s).float()
    found = {"MSP": restated.fix_aurc(t.softmax(1).amax(1), loss)}
    for p in range(10):
        v = torch.nn.functional.normalize(t - t.mean(1, keepdim=True), p, 1)
        found[p] = restated.fix_aurc(v.amax(1), loss)
    return min(found, key=found.get)


def temperature(t, s):
    """The temperature of Guo et al. by L-BFGS, 50 steps at most, as in their code."""
    w = torch.ones(1, requires_grad=True)
    fit = torch.optim.LBFGS([w], lr=0.01, max_iter=50)

    def closure():
        fit.zero_grad()
        loss = torch.nn.functional.cross_entropy(t / w, s)
        loss.backward()
        return loss

    fit.step(closure)
    return w


def cross_entropy(z, s):
    """Forward and backward of PyTorch's smoothed loss."""
    torch.nn.functional.cross_entropy(z, s, label_smoothing=0.1).backward()


# The table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="", metavar="PATTERN")
    wanted = re.compile(parser.parse_args().pattern)
    torch.set_num_threads(1)
    print("| call | data | ours, ms | MB | peer | peer, ms | MB | ratio | limit, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for title, data, calls in TABLE:
        rows = [row for row in calls if wanted.search(row[0]) or wanted.search(title)]
        if rows:
            scope = globals() | {"rng": np.random.default_rng(0)}
            exec(data, scope)
            for row in rows:
                print(line(title, scope, *row), flush=True)


def line(title: str, scope: dict[str, Any], call: str, peer: str, theirs: str) -> str:
    """Return one row of the table."""
    seconds, memory = measured(call, scope)
    cells = [f"`{call}`", title, f"{1e3 * seconds:.4g}", f"{memory:.0f}", peer, "", "", ""]
    if peer:
        try:
            peer_seconds, peer_memory = measured(theirs, scope)
        except ModuleNotFoundError as absent:
            cells[4] = f"{peer}: {absent.name} is not installed"
        else:
            slower = " (slower)" if seconds > peer_seconds else ""
            cells[5:] = f"{1e3 * peer_seconds:.4g}", f"{peer_memory:.0f}"
            cells.append(f"{peer_seconds / seconds:.2g}{slower}")
    inputs = (scope[name] for name in set(re.findall(r"\b\w\b", call)) & set(scope))
    limit = sum(reading(x) for x in inputs if isinstance(x, np.ndarray | torch.Tensor))
    return f"| {' | '.join(cells)} | {1e3 * limit:.3g} |"


def measured(code: str, scope: dict[str, Any]) -> tuple[float, float]:
    """Return the least CPU seconds of some calls, and megabytes above what was held before."""
    call = compile(code, "<call>", "eval")
    eval(call, scope)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak()
    eval(call, scope)
    memory = peak() - before
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        rounds = 0
        while (passed := time.process_time() - start) < 0.01 or not rounds:
            eval(call, scope)
            rounds += 1
        seconds.append(passed / rounds)
    return min(seconds), memory / 1e3


def peak() -> int:
    """Return the largest resident memory of this process so far, in kilobytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def reading(x: np.ndarray | torch.Tensor) -> float:
    """Return the CPU seconds to read an array once."""
    flat = np.asarray(x.detach() if isinstance(x, torch.Tensor) else x).ravel().view(np.uint8)
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        np.bitwise_or.reduce(flat[: flat.size // 8 * 8].view(np.uint64))
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
