"""Forward and backward of label-smoothed cross entropy, against its peers.

    python -m benchmarks.losses [--rounds 7] [--threads 1] [--no-compile]

The runs of all programs are interleaved in one process, and the table has the median of
each. "memory" is the peak of the process over its size before the call, in units of the
logits, the gradient included (Linux only); "error" the largest error of the gradient
against float64, times n.

timm and Composer are not imported but restated from their formulas: timm 1.0
`LabelSmoothingCrossEntropy`, Composer `smooth_labels` with `soft_cross_entropy`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.memory import peak
from recuse.losses import _functions, smoothed_cross_entropy

SMOOTHING = 0.1
SHAPES = ((4096, 1000), (1024, 32000), (8, 19, 512, 512))
ONE_PIECE = "ours, overwriting the logits"


def torch_eager(logits, labels):
    """PyTorch's own."""
    return F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def timm_restated(logits, labels):
    """timm's formula."""
    log_probs = F.log_softmax(logits, 1)
    label = -log_probs.gather(1, labels.unsqueeze(1)).squeeze(1)
    return ((1 - SMOOTHING) * label + SMOOTHING * -log_probs.mean(1)).mean()


def composer_restated(logits, labels):
    """Composer's formula: a dense target, and its cross entropy."""
    k = logits.shape[1]
    one_hot = torch.zeros_like(logits).scatter_(1, labels.unsqueeze(1), 1)
    return F.cross_entropy(logits, one_hot * (1 - SMOOTHING) + SMOOTHING / k)


def ours_in_torch(logits, labels):
    """The path for every device and dtype."""
    smallest = _functions.SMALLEST_FUSED
    _functions.SMALLEST_FUSED = 1 << 62
    try:
        return smoothed_cross_entropy(logits, labels, SMOOTHING)
    finally:
        _functions.SMALLEST_FUSED = smallest


def ours_fused(logits, labels):
    """One pass on the CPU."""
    return smoothed_cross_entropy(logits, labels, SMOOTHING)


def ours_overwriting(logits, labels):
    """One pass, the gradient in the memory of the logits."""
    return smoothed_cross_entropy(logits, labels, SMOOTHING, overwrite_logits=True)


def programs(compile_too: bool) -> dict[str, Callable]:
    """By the name in the table; the first is what the ratios are of."""
    table: dict[str, Callable] = {
        "F.cross_entropy": torch_eager,
        "timm (restated)": timm_restated,
        "Composer (restated)": composer_restated,
    }
    if compile_too:
        table["torch.compile(F.cross_entropy)"] = torch.compile(torch_eager)
    return table | {
        "ours, torch only": ours_in_torch,
        "ours, fused": ours_fused,
        ONE_PIECE: ours_overwriting,
    }


def step(program, logits, labels) -> torch.Tensor:
    """The gradient: of a leaf, or of logits that may be overwritten."""
    leaf = logits.detach().requires_grad_()
    computed = leaf.view_as(leaf) if program is ours_overwriting else leaf
    return torch.autograd.grad(program(computed, labels), leaf)[0]


def exact_gradient(logits, labels) -> torch.Tensor:
    """In float64."""
    return step(torch_eager, logits.double(), labels)


def measure(shape: tuple[int, ...], table: dict[str, Callable], rounds: int) -> list[tuple]:
    """Rows of name, seconds, memory over logits and error * n."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(shape, generator=generator)
    labels = torch.randint(shape[1], shape[:1] + shape[2:], generator=generator)
    original = logits.clone()  # what overwriting destroys
    exact = exact_gradient(logits, labels)
    seconds: dict[str, list[float]] = {name: [] for name in table}
    memory, error = {}, {}
    for name, program in table.items():
        gradient = step(program, logits, labels)  # compiles, too
        error[name] = float((gradient.double() - exact).abs().max()) * labels.numel()
        del gradient
        logits.copy_(original)
    del exact
    for name, program in table.items():
        memory[name] = peak(lambda p=program: step(p, logits, labels)) / (4 * logits.numel())
        logits.copy_(original)
    for _ in range(rounds):
        for name, program in table.items():
            start = time.perf_counter()
            gradient = step(program, logits, labels)
            seconds[name].append(time.perf_counter() - start)
            del gradient
            if program is ours_overwriting:
                logits.copy_(original)
    copies = []
    for _ in range(rounds):
        start = time.perf_counter()
        logits.copy_(original)
        copies.append(time.perf_counter() - start)
    rows = [(name, statistics.median(seconds[name]), memory[name], error[name]) for name in table]
    return [*rows, ("(a copy of the logits)", statistics.median(copies), None, None)]


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = programs(not options.no_compile)
    print(f"smoothing {SMOOTHING}, threads {options.threads}, medians of {options.rounds}")
    for shape in SHAPES:
        print(f"\n{' x '.join(map(str, shape))}")
        print(f"{'':32}{'ms':>8}{'speedup':>9}{'memory':>8}{'error * n':>11}")
        rows = measure(shape, table, options.rounds)
        for name, median, extra, error in rows:
            line = f"{name:32}{1e3 * median:8.1f}{rows[0][1] / median:9.2f}"
            if extra is not None:
                line += f"{extra:8.1f}{error:11.1e}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
