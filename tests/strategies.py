"""Hypothesis inputs with few distinct values, so that ties are common."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

TIED = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.5 + 2**-20, 1.0, 7.0])
UNTIED = st.floats(-1e3, 1e3, allow_nan=False, width=32)
ZERO_ONE = st.sampled_from([0.0, 1.0])
GENERAL = st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0])


@st.composite
def predictions(draw, loss=ZERO_ONE, min_size=1, max_size=30):
    """(confidence, loss), often tied."""
    n = draw(st.integers(min_size, max_size))
    values = draw(st.sampled_from([TIED, UNTIED]))
    confidence = draw(st.lists(values, min_size=n, max_size=n))
    losses = draw(st.lists(loss, min_size=n, max_size=n))
    return np.array(confidence), np.array(losses)


CLASSES, ROWS = st.integers(2, 6), st.integers(1, 6)


def logits(classes=CLASSES, rows=ROWS, values=None, dtype=np.float64):
    """(n, K) logits, with repeated values."""
    if values is None:
        values = st.one_of(
            st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0]), st.floats(-30, 30, width=32)
        )
    return st.tuples(rows, classes).flatmap(lambda shape: hnp.arrays(dtype, shape, elements=values))
