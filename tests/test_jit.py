import numba
import pytest

from recuse._kernels.jit import njit


def add_one(x):
    return x + 1


def test_loops_compile_where_no_cache_can_be_kept():
    """As in a read-only container; here, since the function is in no file."""
    scope = {}
    exec("def add_two(x): return x + 2", scope)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(scope["add_two"])
    assert njit()(scope["add_two"])(1) == 3


def test_loops_are_cached_where_they_can_be():
    assert type(njit()(add_one)._cache) is type(numba.njit(cache=True)(add_one)._cache)
