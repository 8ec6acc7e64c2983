"""The page about a public network shows what its command prints and what its blocks do."""

import numpy as np
import pytest
from benchmarks import public_network

import recuse as rc
from test_docs import DOCS, check_printed, run_page

PAGE = DOCS / "public-network.md"


@pytest.fixture(scope="module")
def file():
    return rc.datasets.imagenet_lite2()


def test_the_page_shows_the_tables_of_all_rows(file):
    text = PAGE.read_text(encoding="utf-8")
    for table in ("values", "differences", "guaranteed"):
        rows = list(getattr(public_network, table)(file))
        assert rows
        for row in rows:
            assert f"| {' | '.join(row)} |" in text
    assert public_network.outside(file).startswith("130 of 130 errors")


def test_two_halves_are_near_the_table_of_200(file):
    found, norms = public_network.halves(file, 2)
    assert {x.shape for x in found.values()} == {(2, 3)}
    assert norms.total() == 2
    aurc = {name: 1000 * x[:, 0].mean() for name, x in found.items()}
    assert aurc["learned"] < -30 < aurc["learned, without class intercepts"] < 0
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in found if f"| {name} |" not in text] == []


def test_the_interval_over_halves_is_that_of_all_rows_for_what_is_not_fitted():
    """Halves of a fixed set: their variance is that of its mean, so that the factor is 1 + 1/s."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    means = np.array([rng.permutation(x)[:250].mean() for _ in range(4000)])
    _, low, high = public_network.mean_and_interval(means)
    assert (high - low) / 2 == pytest.approx(1.96 * x.std() / np.sqrt(x.size), rel=0.05)


def test_the_blocks_of_the_page_run(tmp_path):
    ran = list(run_page(PAGE, tmp_path))
    assert len(ran) == 2
    for session in ran:
        check_printed(*session)
