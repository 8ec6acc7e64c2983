"""What the decision costs beside the network, and whether the exported file makes the same one.

    python -m benchmarks.export [--rounds 9] [--threads 1] [--layers 18]
    python -m benchmarks.export --logits FILE...

The first measures a residual network of 18 or 50 layers (He et al., CVPR 2016; random weights,
224 x 224, 1000 classes) in PyTorch and in onnxruntime: bare, with the decision, and the decision
alone on the network's logits. The runs are interleaved, and the table has the median of each;
"share" is the decision alone over the bare network, "slower" what the whole is slower by.

The second scores every row of logits files in PyTorch, in onnxruntime and in NumPy, with every
score, and counts the float32 confidences that differ.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

import recuse
from recuse import Rejector
from recuse.export import _scores, to_module, to_onnx
from recuse.export._onnx import OPSET, _quiet
from recuse.rejector import IsotonicMap, Rule
from recuse.scores import FEATURES, SCORES, Score
from recuse.selectors import Guarantee

CLASSES, SIDE, BATCHES = 1000, 224, (8, 32)
SPELLED = (*SCORES, "max_logit(center=true)", "msp(temperature=1.7)", "gen(gamma=0.3, top=2)",
           "renyi(alpha=0.7)", "energy(temperature=1.7)", "logit_norm(p=1)", "logit_norm(p=2.5)",
           "logit_norm(p=3, center=false)", "logit_norm(p=7)", "logit_norm(p=inf)")  # fmt: skip


class Block(nn.Module):
    """Two convolutions of 3 x 3, or 1, 3, 1 with a bottleneck, and the way around them."""

    def __init__(self, inside: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        out = 4 * width if bottleneck else width
        shapes = ((1, inside, width, 1), (3, width, width, stride), (1, width, out, 1))
        plain = ((3, inside, width, stride), (3, width, out, 1))
        layers: list[nn.Module] = []
        for side, a, b, s in shapes if bottleneck else plain:
            convolution = nn.Conv2d(a, b, side, s, side // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.residual = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Sequential()
        if inside != out or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both."""
        return torch.relu(self.residual(x) + self.shortcut(x))


def resnet(layers: int) -> nn.Module:
    """Images (n, 3, 224, 224) -> logits (n, 1000)."""
    depth, bottleneck = {18: ((2, 2, 2, 2), False), 50: ((3, 4, 6, 3), True)}[layers]
    parts: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    inside = 64
    for stage, blocks in enumerate(depth):
        for i in range(blocks):
            width = 64 << stage
            parts.append(Block(inside, width, 2 if stage and not i else 1, bottleneck))
            inside = 4 * width if bottleneck else width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, CLASSES))


def learned(rng: np.random.Generator) -> Score:
    """A learned score with parameters as a fit could leave them."""
    columns = {name: rng.uniform(-1, 1, len(FEATURES)) for name in ("weights", "center", "low")}
    columns |= {"high": columns["low"] + 4, "scale": rng.uniform(0.5, 2, len(FEATURES))}
    numbers = {name: tuple(column.tolist()) for name, column in columns.items()}
    return Score("learned", {"slope": 0.7, "intercept": 0.3} | numbers)


def rejector(score: Score) -> Rejector:
    """With an isotonic map of 160 vertices, as from a tuning split of 4,000 rows."""
    isotonic_map = IsotonicMap(
        tuple(np.linspace(-5, 30, 160).tolist()), tuple(np.linspace(0.1, 0.99, 160))
    )
    guarantee = Guarantee(0.1, 0.05, "fixed_sequence", 4000, 3000, 200)
    rules = (Rule(None, 2.0, guarantee),)
    return Rejector(score, rules, CLASSES, isotonic_map, "benchmark", {}, delta=guarantee.delta)


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """On the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write(model: nn.Module, example: torch.Tensor, path: Path) -> None:
    """A module without a decision as ONNX, for any batch."""
    with _quiet():
        torch.onnx.export(
            model, (example,), str(path), dynamo=True, opset_version=OPSET, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},), input_names=["input"],
        )  # fmt: skip


def programs(layers: int, score: Score, threads: int) -> dict[str, list[Callable]]:
    """Runtime -> network bare, with the decision, and the decision alone, each of a tensor."""
    model = resnet(layers).eval()
    whole, alone = to_module(model, rejector(score)), to_module(nn.Identity(), rejector(score))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.onnx" for name in ("bare", "whole", "alone")]
        write(model, torch.zeros(2, 3, SIDE, SIDE), paths[0])
        to_onnx(whole, paths[1], torch.zeros(2, 3, SIDE, SIDE))
        to_onnx(alone, paths[2], torch.zeros(2, CLASSES))
        sessions = [session(path, threads) for path in paths]
    run = [lambda x, s=s: s.run(None, {"input": x.numpy()}) for s in sessions]
    return {"PyTorch": [model, whole, alone], "onnxruntime": run}


def overhead(batch: int, three: list[Callable], rounds: int) -> tuple[float, ...]:
    """Median seconds of the bare network, the whole, and the decision alone."""
    images, logits = torch.randn(batch, 3, SIDE, SIDE), 3 * torch.randn(batch, CLASSES)
    seconds: list[list[float]] = [[], [], []]
    for round_ in range(rounds + 1):
        for program, data, column in zip(three, (images, images, logits), seconds):
            start = time.perf_counter()
            program(data)
            if round_:  # the first warms up
                column.append(time.perf_counter() - start)
    return tuple(map(statistics.median, seconds))


class Every(nn.Module):
    """Logits (n, K) -> the confidence of every score."""

    def __init__(self, scores: list[Score]):
        super().__init__()
        self.scores = scores

    def forward(self, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One (n,) for each."""
        return tuple(_scores.of_rows(score, logits.double()) for score in self.scores)


def differing(files: list[Path]) -> dict[str, np.ndarray]:
    """Score -> rows, rows that differ in PyTorch and in onnxruntime, largest gap in float32s."""
    scores = [*map(Score.parse, SPELLED), learned(np.random.default_rng(0))]
    found = {str(score): np.zeros(4, int) for score in scores}
    every, sessions = Every(scores).eval(), {}
    for path in files:
        z = recuse.read(path).predictions().logits.astype(np.float32)
        if z.shape[1] not in sessions:
            with tempfile.TemporaryDirectory() as folder:
                write(every, torch.from_numpy(z[:2]), Path(folder) / "every.onnx")
                sessions[z.shape[1]] = session(Path(folder) / "every.onnx", 1)
        ours = [x.numpy() for x in every(torch.from_numpy(z))]
        theirs = sessions[z.shape[1]].run(None, {"input": z})
        for score, a, b in zip(scores, ours, theirs):
            gaps = [np.abs(_rank(x) - _rank(score(z))) for x in (a, b)]
            row = found[str(score)]
            row[:3] += len(z), *((gap > 0).sum() for gap in gaps)
            row[3] = max(row[3], *(gap.max() for gap in gaps))
    return found


def _rank(x: np.ndarray) -> np.ndarray:
    """The number of float32 values between 0 and x, with the sign of x."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=18, choices=(18, 50))
    parser.add_argument("--logits", type=Path, nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.logits:
        print(f"{'':32}{'rows':>10}{'PyTorch':>9}{'onnxruntime':>13}{'float32 steps':>15}")
        for name, (rows, ours, theirs, gap) in differing(options.logits).items():
            print(f"{name:32}{rows:10,}{ours:9,}{theirs:13,}{gap:15}")
        return
    print(f"ResNet-{options.layers}, threads {options.threads}, medians of {options.rounds}, ms")
    print(f"{'':38}{'bare':>8}{'whole':>8}{'slower':>9}{'decision':>10}{'share':>8}")
    with torch.no_grad():
        for score in (
            Score("msp"),
            Score("logit_norm", {"p": 4}),
            learned(np.random.default_rng()),
        ):
            table = programs(options.layers, score, options.threads)
            for runtime, three in table.items():
                for batch in BATCHES:
                    a, b, c = overhead(batch, three, options.rounds)
                    name = f"{score}, {runtime}, batch {batch}"
                    print(f"{name:38}{1e3 * a:8.0f}{1e3 * b:8.0f}{b / a - 1:9.1%}"
                          f"{1e3 * c:10.2f}{c / a:8.2%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
