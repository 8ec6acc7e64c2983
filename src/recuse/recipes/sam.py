"""Sharpness-aware minimisation (SAM) around any optimizer.

w = all parameters as one vector, g = gradient at w, e = ascent of length rho.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
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

    The non-adaptive variant: the norm is over the parameters of all groups together, and a zero
    gradient is not perturbed. `step` takes a closure that clears the gradients, computes the loss
    and calls `backward`. It calls the closure twice: at w, whose loss it returns, and at w + e.
    The weights are w again, to the bit, before the step of `base`, and also if the closure raises.

    SAM works in a plain training loop and under Lightning's automatic optimization, where
    `training_step` runs (and logs) twice per batch. Dropout draws a new mask in the second run.
    Do not use it with accumulated gradients, since the closure recomputes only the last part, nor
    with a scaled float16 loss.

    timm and PyTorch have no SAM. That of pytorch-optimizer 4.1 needs the gradients before `step`,
    returns no loss, does not restore the weights after an error and leaves running statistics to
    the caller.

    Args:
        params: Parameters or groups of parameters, as for any optimizer.
        base: Class of the optimizer that makes the step.
        rho: Length of the ascent, in the unit of the weights, > 0.
        model: Model whose buffers (running statistics of BatchNorm) keep their values from the
            run at w. Without it, both runs change them.
        options: Options of the base optimizer.

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
        """Make one step and return the loss at w.

        Raises:
            InputError: There is no closure.
        """
        if closure is None:
            raise InputError("expected step(closure): SAM computes the gradient twice")
        with torch.enable_grad():
            loss = closure()
        weights = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        buffers = [] if self.model is None else list(self.model.buffers())
        with _restored([*weights, *buffers]):
            _ascend(weights, self.rho)
            self.zero_grad()
            with torch.enable_grad():
                closure()
        self.base.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimizer; a step leaves no other."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the base optimizer."""
        self.base.load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Share groups and state with the base optimizer, so that schedulers reach it."""
        self.param_groups, self.state = self.base.param_groups, self.base.state


@contextmanager
def _restored(tensors: Sequence[Tensor]) -> Generator[None]:
    """Restore the values of tensors after the block, to the bit, also if it raises."""
    before = [t.detach().clone() for t in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before):
                tensor.copy_(value)


@torch.no_grad()
def _ascend(weights: Sequence[Tensor], rho: float) -> None:
    """Move the weights to w + e; a zero gradient has no direction and moves nothing."""
    gradients = [p.grad for p in weights if p.grad is not None]
    norm = _norm(gradients)
    for p, g in zip(weights, gradients):
        p.add_(g * torch.where(norm > 0, rho / norm, 0).to(g.device, g.dtype))


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients as one vector, half precision in float32."""
    if not gradients:
        return torch.zeros(())
    wide = [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients]
    norms = [torch.linalg.vector_norm(g) for g in wide]
    return torch.linalg.vector_norm(torch.stack([n.to(norms[0]) for n in norms]))
