"""M models trained side by side on the same batches, one for each smoothing.

A plain loop for small models, without checkpoints: `recuse demo` and the benchmarks use it.
Recipes are trained by Lightning (`_train`), one model at a time.

b = rows of a batch, K = classes, ... = pixels.
    x (b, ...) inputs    z (M, b, K, ...) logits
    w (M, in, out), bias (M, 1, out) of a layer    h (M, b, width) hidden
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from recuse._internal.check import extra

torch = extra("torch", "train", "the digits recipe")

from recuse.losses import smoothed_cross_entropy  # noqa: E402

if TYPE_CHECKING:
    from torch import Generator as Random
    from torch import Tensor


def train_side_by_side(
    forward: Callable[[Tensor], Iterable[Tensor]],
    batches: Iterable[tuple[Tensor, Tensor]],
    smoothings: Sequence[float],
    optimizer: Any,
    schedule: Any = None,
    *,
    ignore_index: int = -100,
) -> None:
    """Step all models on each batch; they share no parameter, so each is trained as if alone.

    Args:
        forward: x -> the logits of every model.
        batches: Pairs (x, y), drawn one at a time.
        smoothings: Label smoothing of each model.
        optimizer: Optimizer of the parameters of all models, which works element by element.
        schedule: Learning rate scheduler, stepped once per batch.
        ignore_index: Label that does not count.
    """
    for x, y in batches:
        losses = [
            smoothed_cross_entropy(z, y, a, ignore_index=ignore_index)
            for z, a in zip(forward(x), smoothings)
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def initial(models: int, rng: Random, widths: Sequence[int]) -> list[Tensor]:
    """Return w and bias of each layer ~ U(-1, 1) / sqrt(in), as in nn.Linear, equal in all MLPs."""
    params = []
    for fan_in, fan_out in pairwise(widths):
        for shape in ((1, fan_in, fan_out), (1, 1, fan_out)):
            u = 2 * torch.rand(shape, generator=rng) - 1
            params.append((u / fan_in**0.5).repeat(models, 1, 1).requires_grad_())
    return params


def forward(params: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return the logits (M, b, K) of M stacked MLPs at the same x (b, d)."""
    h = x.expand(len(params[0]), *x.shape)
    for w, bias in zip(params[:-2:2], params[1:-2:2]):
        h = torch.baddbmm(bias, h, w).relu()
    return torch.baddbmm(params[-1], h, params[-2])


@contextmanager
def one_thread() -> Generator[None]:
    """Run torch on one thread: less CPU time at these sizes, and the same numbers on all cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
