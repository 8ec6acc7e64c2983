"""The cheapest answer under costs in torch: `recuse.scores.expected_cost`.

r = rows, K = classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recuse._internal.check import extra
from recuse.export._scores import LOWEST, malformed
from recuse.scores import Score
from recuse.scores._costs import GRID, cost_table

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from torch import Tensor


def cheapest(score: Score, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return label, confidence and probability of float64 logits (r, K); NaN where malformed."""
    costs = cost_table(tuple(score.params["costs"]))
    largest = costs.max()
    z = z.masked_fill(z == z.new_tensor(LOWEST), -math.inf)
    bad = malformed(z)
    rows = z.masked_fill(bad[:, None], 0.0)
    gap = (rows - rows.amax(1, keepdim=True)) / z.new_tensor(score.params["temperature"])
    weight = gap.exp()
    total = weight.sum(1, keepdim=True)
    expected = weight @ z.new_tensor(costs / largest) / total
    expected = (expected * z.new_tensor(GRID)).round() / z.new_tensor(GRID)
    saved = expected[:, -1:] - expected[:, :-1]
    saved = saved.masked_fill(rows == -math.inf, -math.inf)
    label = saved.argmax(dim=1)
    own = label[:, None]
    confidence = (saved.gather(1, own)[:, 0] * z.new_tensor(largest)).float()
    probability = (weight / total).gather(1, own)[:, 0]
    return label, confidence.masked_fill(bad, math.nan), probability.masked_fill(bad, math.nan)
