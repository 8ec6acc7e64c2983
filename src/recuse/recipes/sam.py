"""Sharpness-aware minimisation around any optimizer.

w = all parameters as one vector, g = the gradient at w, e = the ascent, of length rho.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from recuse.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    Closure = Callable[[], Any]


class SAM(Optimizer):
    r"""Steps along the gradient at $w + e$, $e = \rho\, g / \|g\|_2$, instead of that at $w$.

    Not adaptive. The norm is over all parameters of all groups together, and a zero gradient is
    not perturbed. A step takes a closure that clears the gradients, computes the loss and goes
    backward, and calls it twice: at w, whose loss it returns, and at w + e. Before the step of
    `base`, and also where the closure fails, the weights are w again, to the bit. It works in a
    loop of one's own and under Lightning's automatic optimization, where `training_step` runs
    (and logs) twice a batch. Dropout draws anew in the second run. Not for accumulated gradients,
    whose last part alone the closure would compute again, nor for a scaled float16 loss.

    Not taken from pytorch-optimizer 4.1 (Apache-2.0; timm and PyTorch have none): its `SAM` wants
    the gradients before `step`, which Lightning computes inside, returns no loss, does not restore
    the weights after an error, and leaves running statistics to the caller.

    Args:
        params: As of any optimizer.
        base: Class of the optimizer that makes the step.
        rho: Length of the ascent, in the unit of the weights, > 0.
        model: Its buffers (running statistics of BatchNorm) stay as the run at w leaves them;
            without it both runs count. A model without such buffers needs none.
        options: Of the base optimizer.

    Raises:
        InputError: `rho` is not a positive number.

    References:
        Foret, Kleiner, Mobahi & Neyshabur, ICLR 2021, algorithm 1 and equation 2.

    >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> sam = SAM([w], torch.optim.SGD, rho=0.5, lr=0.1)
    >>> def closure():
    ...     sam.zero_grad()
    ...     loss = w.square().sum() / 2  # g = w, so that w + e = 1.1 w
    ...     loss.backward()
    ...     return loss
    >>> sam.step(closure).item()
    12.5
    >>> w.data
    tensor([2.6700, 3.5600])
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: Callable[..., Optimizer],
        *,
        rho: float = 0.2,
        model: nn.Module | None = None,
        **options: Any,
    ):
        if not 0 < rho < float("inf"):
            raise InputError(f"expected `rho` as a length > 0, got {rho}")
        self.rho, self.model, self.base = float(rho), model, base(params, **options)
        super().__init__(self.base.param_groups, self.base.defaults)
        self._share()

    def step(self, closure: Closure | None = None) -> Any:
        """One step; the loss at w.

        Raises:
            InputError: There is no closure.
        """
        if closure is None:
            raise InputError("expected step(closure): SAM computes the gradient twice")
        with torch.enable_grad():
            loss = closure()
        with _ascended(self._gradients(), self.rho), _kept(self.model), torch.enable_grad():
            self.zero_grad()
            closure()
        self.base.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of the base optimizer: nothing else outlives a step."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Into the base optimizer."""
        self.base.load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Rates that a scheduler writes here are those of the base optimizer."""
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def _gradients(self) -> list[tuple[Tensor, Tensor]]:
        """Weights that have a gradient, and that gradient."""
        weights = [p for group in self.param_groups for p in group["params"]]
        return [(p, p.grad) for p in weights if p.grad is not None]


@contextmanager
@torch.no_grad()
def _ascended(gradients: list[tuple[Tensor, Tensor]], rho: float) -> Generator[None]:
    """The weights at w + e for as long as the block runs, then at w, to the bit."""
    before = [p.clone() for p, _ in gradients]
    norm = _norm([g for _, g in gradients])
    try:
        for p, g in gradients:
            p.add_(_ascent(g, norm, rho))
        yield
    finally:
        for p, w in zip((p for p, _ in gradients), before):
            p.copy_(w)


def _ascent(g: Tensor, norm: Tensor, rho: float) -> Tensor:
    """The part of e that belongs to one parameter; a zero gradient has no direction."""
    return g * torch.where(norm > 0, rho / norm, 0).to(g.device, g.dtype)


def _norm(gradients: list[Tensor]) -> Tensor:
    """Of all gradients as one vector, half precision in float32."""
    if not gradients:
        return torch.zeros(())
    wide = [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients]
    norms = [torch.linalg.vector_norm(g) for g in wide]
    return torch.linalg.vector_norm(torch.stack([n.to(norms[0]) for n in norms]))


@contextmanager
@torch.no_grad()
def _kept(model: nn.Module | None) -> Generator[None]:
    """The buffers of a model after the block as they were before it."""
    buffers = [] if model is None else list(model.buffers())
    before = [b.clone() for b in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before):
            buffer.copy_(value)
