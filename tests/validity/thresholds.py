"""How often does a deployed threshold break its guarantee, and how much does it accept?

    python -m tests.validity [--draws 2000]

prints the tables of docs/thresholds.md. Each population has a latent rank u, uniform on
[0, 1], an error rate given u and a confidence that does not fall in u, so that the risk and
the coverage of every threshold are known exactly.

n = calibrate examples, m = thresholds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import numpy as np
from scipy.stats import binom

from recuse import selectors
from recuse.io import HeldOut
from recuse.rejector import choose as choose_of_file
from recuse.selectors._methods import METHODS, Splits
from recuse.selectors._walk import walk_boundary

TARGET, DELTA, DRAWS = 0.05, 0.1, 2000
FALSE_ALARM = 0.01  # of a verdict over all cells
LARGEST_TUNE = 5000
FLAT = TARGET + 1e-4  # error rate of every row: no threshold may be deployed


class Scale(NamedTuple):
    """Confidence from u, and the smallest u that a threshold accepts (1 if none)."""

    confidence: Callable
    reach: Callable


class Population(NamedTuple):
    """Error rate at u, and its integral from u to 1."""

    rate: Callable
    above: Callable
    scale: Scale

    def draw(self, n, rng):
        u = rng.uniform(size=n)
        l = rng.uniform(size=n) < self.rate(u)
        return self.scale.confidence(u).astype(np.float32), l.astype(float)

    def coverage(self, threshold):
        return 1 - self.scale.reach(np.asarray(threshold, float))

    def risk(self, threshold):
        """0 where nothing is accepted."""
        u = self.scale.reach(np.asarray(threshold, float))
        return np.where(u < 1, self.above(u) / np.maximum(1 - u, 1e-300), 0.0)


def levels(count: int) -> Scale:
    """Equally likely values up to 1, at equal distances that float32 holds exactly."""
    steps = 2 ** math.ceil(math.log2(max(count - 1, 1)))
    least = steps - (count - 1)
    return Scale(
        lambda u: (np.floor(u * count) + least) / steps,
        lambda t: np.minimum(np.maximum(np.ceil(t * steps) - least, 0) / count, 1.0),
    )


UNIFORM = Scale(lambda u: u, lambda t: np.clip(t, 0, 1))
SATURATED = Scale(  # three fifths of the confidences are 1
    lambda u: np.where(u >= 0.4, 1, u), lambda t: np.where(t > 1, 1.0, np.clip(t, 0, 0.4))
)


def flat(rate: float, scale: Scale = UNIFORM) -> Population:
    return Population(lambda u: np.full(np.shape(u), rate), lambda u: rate * (1 - u), scale)


def linear(slope: float, base: float = 0.0) -> Population:
    """Error rate slope (1 - u) + base."""
    return Population(
        lambda u: slope * (1 - u) + base,
        lambda u: slope * (1 - u) ** 2 / 2 + base * (1 - u),
        UNIFORM,
    )


def power(error: float, exponent: int) -> Population:
    """Risk error * coverage ** exponent."""
    return Population(
        lambda u: error * (exponent + 1) * (1 - u) ** exponent,
        lambda u: error * (1 - u) ** (exponent + 1),
        UNIFORM,
    )


def step(at: float, low: float, high: float, scale: Scale = UNIFORM) -> Population:
    """Error rate `high` from u = `at` on, `low` below."""
    return Population(
        lambda u: np.where(u >= at, high, low),
        lambda u: high * (1 - np.maximum(u, at)) + low * np.maximum(at - u, 0),
        scale,
    )


def bad_top(at: float, top: float, slope: float) -> Population:
    """Linear below u = `at`, and `top` from there on."""
    below = lambda u: slope * ((1 - u) ** 2 - (1 - at) ** 2) / 2  # noqa: E731
    return Population(
        lambda u: np.where(u >= at, top, slope * (1 - u)),
        lambda u: top * (1 - np.maximum(u, at)) + below(np.minimum(u, at)),
        UNIFORM,
    )


def waves(count: int, high: float) -> Population:
    """Coverage in equal pairs of parts: error rate `high` in the more confident one, then 0."""
    width = 0.5 / count

    def above(u):
        pairs, rest = np.divmod(1 - np.asarray(u), 2 * width)
        return high * (width * pairs + np.minimum(rest, width))

    return Population(lambda u: np.where((1 - u) % (2 * width) < width, high, 0.0), above, UNIFORM)


def tied(rates: np.ndarray) -> Population:
    """An error rate for each of equally likely levels, the least confident first."""
    count = len(rates)
    scale = levels(count)
    sums = np.r_[np.cumsum(rates[::-1])[::-1], 0.0] / count
    level = lambda u: np.minimum((u * count + 1e-9).astype(int), count)  # noqa: E731
    return Population(
        lambda u: rates[np.minimum((u * count).astype(int), count - 1)],
        lambda u: sums[level(np.asarray(u))],
        scale,
    )


POPULATIONS = {
    "flat": flat(FLAT),
    "smooth": linear(0.2),
    "steep": step(0.45, 0.4, 0.01),
    "bad top": bad_top(0.96, 0.12, 0.2),
    "most confident wrong": step(0.998, 0.04, 1.0),
    "waves": waves(5, 2 * TARGET + 1e-4),
    "accurate": linear(0.01),
    "poor": linear(0.5, 0.04),
    "convex": power(0.2, 3),
    "hard": power(0.3, 2),
    "saturated": step(0.4, 0.3, FLAT, SATURATED),
    "twenty levels": tied(0.2 * (1 - np.arange(20) / 20)),
    "five levels": tied(0.2 * (1 - np.arange(5) / 5)),
    "two levels": step(0.5, 0.4, 0.005, levels(2)),
    "one level": flat(FLAT, levels(1)),
}
USUAL = ("convex", "hard", "twenty levels")  # for coverage: the others break more methods
TIED = {  # by target: ties within and at the end of what a chain looks at
    target: {count: flat(target + 1e-4, levels(count)) for count in (6, 20, 100)}
    for target in (TARGET, 2 * TARGET)
}
# Most draws find nothing: why is not asked, and finding what would be feasible takes longest.
thresholds_alone = mock.patch(
    "recuse.selectors._select._infeasible", new=mock.Mock(return_value=selectors.Infeasible())
)
SIZES = (50, 200, 1000, 5000)
LARGE = ("flat", "smooth", "bad top", "two levels")  # also at n = 50,000
Chooser = Callable[[Splits], float]


def by(method: str, target: float = TARGET, delta: float = DELTA) -> Chooser:
    """The threshold that a method of `select` deploys; +inf if none."""

    def choose(s: Splits) -> float:
        plan = METHODS[method].plan(s, target, delta)
        index = plan.choose(target)
        return np.inf if index is None else float(plan.grid[index])

    return choose


def by_band(s: Splits) -> float:
    return draw_band(s).threshold_for(TARGET)


def draw_band(s: Splits) -> selectors.Band:
    return selectors.band(s.confidence, s.loss, delta=DELTA, tune=s.tune)


def by_rank(s: Splits, k: np.ndarray, level: float) -> float:
    """The widest of the first k by confidence that pass an exact test, deployed as c >= v."""
    order = np.argsort(-s.confidence)
    most = walk_boundary(np.arange(1, order.size + 1), TARGET, level)  # errors that pass among 1..n
    passing = np.flatnonzero(np.cumsum(s.loss[order])[k - 1] <= most[k - 1])
    return float(s.confidence[order[k[passing[-1]] - 1]]) if passing.size else np.inf


def uncorrected(s: Splits) -> float:
    """The largest passing rank, each tested at full delta: what must not be done."""
    return by_rank(s, np.arange(1, s.loss.size + 1), DELTA)


def with_boundary(s: Splits) -> float:
    """Bonferroni over ranks that counts the boundary point and splits its ties."""
    return by_rank(s, np.arange(1, 21) * s.loss.size // 20, DELTA / 20)


CHOOSERS: dict[str, Chooser] = {
    "uncorrected": uncorrected,
    "with boundary": with_boundary,
    "sgr": by("sgr"),
    "bonferroni": by("bonferroni"),
    "band": by_band,
    "random_walk": by("random_walk"),
    "fixed_sequence": by("fixed_sequence"),
}
INVALID = ("uncorrected", "with boundary")
VALID = {name: choose for name, choose in CHOOSERS.items() if name not in INVALID}


class Outcome(NamedTuple):
    """Over many draws of both splits."""

    violations: float
    coverage: float


def draws(population: Population, n: int, count: int, seed: int = 7) -> Iterator[Splits]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        tune = population.draw(min(n, LARGEST_TUNE), rng)
        yield Splits(*population.draw(n, rng), tune)


def simulate(
    population: Population, n: int, choosers: dict[str, Chooser], count: int, target: float = TARGET
) -> dict[str, Outcome]:
    """Every method on the same draws."""
    found = [[choose(s) for choose in choosers.values()] for s in draws(population, n, count)]
    thresholds = np.array(found).T
    return {
        name: Outcome(np.mean(population.risk(t) > target), population.coverage(t).mean())
        for name, t in zip(choosers, thresholds)
    }


def band_violations(population: Population, n: int, count: int, ranks: bool) -> float:
    """How often any limit of a band is below the risk."""
    broken = 0
    for s in draws(population, n, count):
        drawn = draw_band(s._replace(tune=None) if ranks else s)
        broken += bool((population.risk(drawn.threshold) > drawn.upper).any())
    return broken / count


def general(population: Population, n: int, count: int, seed: int = 8) -> Iterator[Splits]:
    """Losses uniform on [0, 1] where an error of twice the rate happens: the same risk."""
    double = population._replace(rate=lambda u: 2 * population.rate(u))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        (tc, tl), (c, l) = double.draw(n, rng), double.draw(n, rng)
        yield Splits(c, l * rng.uniform(size=n), (tc, tl * rng.uniform(size=n)))


SITES = (0.0, 2 * (TARGET + 2e-3))  # error rates of the better and the worse


def one_site_after_the_other(groups: int, size: int, count: int) -> Iterator[Splits]:
    """A file of two sites, the better one first; together they err too often at any confidence."""
    rng = np.random.default_rng(10)
    rate, code = np.repeat(SITES, groups // 2), np.repeat(np.arange(groups), size)
    for _ in range(count):
        c = rng.uniform(size=(2, code.size)).astype(np.float32)
        l = (rng.uniform(size=(2, groups)) < rate)[:, code].astype(float)
        yield Splits(c[1], l[1], (c[0], l[0]), code)


@thresholds_alone
def order_violations(size: int, count: int, **order) -> float:
    """How often bets on such a file accept anything, which they may not."""
    options = {"target_risk": TARGET, "delta": DELTA, "method": "betting"} | order

    def breaks(s: Splits) -> bool:
        kept = {"tune": s.tune, "groups": s.groups}
        return selectors.select(s.confidence, s.loss, **options, **kept).feasible

    return rate_of(one_site_after_the_other(400, size, count), breaks)


def grouped(rate: float, groups: int, size: int, count: int, seed: int = 9) -> Iterator[Splits]:
    """All replicates of an image are right or wrong together, at nearby confidences."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        u, wrong = rng.uniform(size=(2, groups)), rng.uniform(size=(2, groups)) < rate
        c = (u[..., None] + 0.05 * rng.normal(size=(2, groups, size))).astype(np.float32)
        l = np.repeat(wrong.astype(float)[..., None], size, axis=2)
        code = np.repeat(np.arange(groups), size)
        yield Splits(c[1].ravel(), l[1].ravel(), (c[0].ravel(), l[0].ravel()), code)


def one_of_each_group(s: Splits) -> float:
    _, row = np.unique(s.groups, return_index=True)
    return by("fixed_sequence")(Splits(s.confidence[row], s.loss[row], s.tune))


def rows_as_if_independent(s: Splits) -> float:
    return by("fixed_sequence")(s._replace(groups=None))


AS_IF_INDEPENDENT = "rows treated as independent"
GROUPED: dict[str, Chooser] = {
    AS_IF_INDEPENDENT: rows_as_if_independent,
    "one row per group": one_of_each_group,
    "betting on means": by("betting"),
}


def rate_of(splits: Iterator[Splits], breaks: Callable[[Splits], bool]) -> float:
    return float(np.mean([breaks(s) for s in splits]))


def grouped_violations(rate: float, choose: Chooser, count: int) -> float:
    """The rate is the same everywhere: whatever is accepted has it as risk."""
    deployed = lambda s: np.isfinite(choose(s)) and rate > TARGET  # noqa: E731
    return rate_of(grouped(rate, 200, 5, count), deployed)


@thresholds_alone
def subgroup_violations(
    population: Population, n: int, count: int, delta: float = DELTA, subgroups: int = 4
) -> float:
    """How often the guarantee of any subgroup fails, with the same population in each."""

    def breaks(s: Splits) -> bool:
        subgroup = np.arange(n) % subgroups
        options = {"target_risk": TARGET, "delta": delta, "tune": (*s.tune, subgroup)}
        chosen = selectors.select_by_subgroup(s.confidence, s.loss, subgroup, **options)
        return any(population.risk(x.threshold) > TARGET for x in chosen.selections.values())

    return rate_of(draws(population, n, count), breaks)


@thresholds_alone
def several_violations(
    population: Population, targets: tuple, n: int, count: int, delta: float = DELTA
) -> float:
    """How often any of several guarantees fails."""

    def breaks(s: Splits) -> bool:
        options = {"target_risks": targets, "delta": delta, "tune": s.tune}
        chosen = selectors.select_several(s.confidence, s.loss, **options)
        return any(population.risk(x.threshold) > r for x, r in zip(chosen, targets))

    return rate_of(draws(population, n, count), breaks)


def coverage_violations(population: Population, n: int, coverage: float, count: int) -> Outcome:
    """How often less is accepted than guaranteed, and how much is on average."""
    found = [
        selectors.select_coverage(s.confidence, coverage=coverage, delta=DELTA).threshold
        for s in draws(population, n, count)
    ]
    reached = population.coverage(np.array(found))
    return Outcome(np.mean(reached < coverage), reached.mean())


def cost_violations(
    population: Population, n: int, error: float, count: int, delta: float = DELTA
) -> Outcome:
    """How often the mean cost of the deployed threshold exceeds its limit; abstaining costs 1."""

    def chosen(s: Splits) -> selectors.Selection:
        options = {"cost_error": error, "cost_abstain": 1, "delta": delta, "tune": s.tune}
        return selectors.select_cost(s.confidence, s.loss, **options)

    found = [chosen(s) for s in draws(population, n, count)]
    t, upper = np.array([(x.threshold, x.guarantee.upper) for x in found]).T
    reached = population.coverage(t)
    cost = error * population.risk(t) * reached + 1 - reached
    return Outcome(np.mean(cost > upper), np.mean(reached))


STAIRS = (0.1, 0.2, 0.3, 0.4)  # the risk, less a little, of the first .1, .3, .6 and 1 of "stairs"
OTHERS = {
    "stairs": tied(np.repeat([0.55, 0.4, 0.25, 0.1], [4, 3, 2, 1]) + 1e-4),
    "rare errors": flat(0.01),
}


def flat_file(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 5 classes at many scales, so that MSP and a norm rank them differently."""
    z = rng.normal(size=(n, 5)) * rng.uniform(0.3, 4, size=(n, 1))
    wrong = rng.uniform(size=n) < FLAT
    return z.astype(np.float32), (z.argmax(axis=1) + wrong) % 5


@thresholds_alone
def file_violations(case: str, n: int, count: int, seed: int = 11) -> float:
    """How often `fit` on one file accepts anything, where every threshold errs too often."""
    rng = np.random.default_rng(seed)
    options = {"target_risk": TARGET, "delta": DELTA}
    broken = 0
    for _ in range(count):
        z, y = flat_file(n, rng)
        if case == "groups":  # three equal rows of each
            code = np.repeat(np.arange(n), 3)
            data = HeldOut(z[code], y[code], groups=code)
        else:
            data = (z, y)
        subgroups = {"column": np.arange(n) % 4, "class": "class"}.get(case)
        broken += choose_of_file(data, **options, subgroups=subgroups).rejector is not None
    return broken / count


class Cell(NamedTuple):
    """One simulated guarantee."""

    case: str
    violations: float  # fraction of draws


def verdict(cells: list[Cell], count: int, delta: float) -> str:
    """Whether any rate is beyond delta, by an exact binomial test at .01 over all of them."""
    broken = np.rint([cell.violations * count for cell in cells])
    p_value = binom.sf(broken - 1, count, delta)
    worst = cells[int(p_value.argmin())]
    beyond = [cell.case for cell, p in zip(cells, p_value) if p <= FALSE_ALARM / len(cells)]
    return (
        f"Beyond {delta} in {count:,} draws, by an exact binomial test at "
        f"{FALSE_ALARM} / {len(cells):,} cells: {'; '.join(beyond) or 'none'}. "
        f"Largest: {worst.violations:.3f} ({worst.case}), p = {p_value.min():.2g}."
    )


def print_targets(count: int) -> Iterator[Cell]:
    print("| population | n | " + " | ".join(CHOOSERS) + " |")
    print("|---|---|" + "---|" * len(CHOOSERS))
    for name, population in POPULATIONS.items():
        for n in (*SIZES, *([50_000] if name in LARGE else [])):
            found = simulate(population, n, CHOOSERS, count)
            cells = " | ".join(f"{x.violations:.3f} / {x.coverage:.2f}" for x in found.values())
            print(f"| {name} | {n:,} | {cells} |", flush=True)
            for method in VALID:
                yield Cell(f"{method}, {name}, n = {n:,}", found[method].violations)


def print_bands(count: int) -> Iterator[Cell]:
    print("\n| population | n | band at fixed thresholds | band at ranks |\n|---|---|---|---|")
    for name in ("flat", "smooth", "bad top", "saturated", "five levels"):
        for n in (50, 1000):
            rates = [band_violations(POPULATIONS[name], n, count, r) for r in (False, True)]
            print(f"| {name} | {n:,} | {rates[0]:.3f} | {rates[1]:.3f} |", flush=True)
            yield from (Cell(f"a band, {name}, n = {n:,}", rate) for rate in rates)


def print_general(count: int) -> Iterator[Cell]:
    methods = {name: by(name) for name in ("bonferroni", "fixed_sequence", "betting")}
    print("\n| losses in [0, 1] | n | " + " | ".join(methods) + " |\n|---|---|---|---|---|")
    for name in ("flat", "smooth", "bad top"):
        population = POPULATIONS[name]
        for n in (200, 1000, 5000):
            found = [[f(s) for f in methods.values()] for s in general(population, n, count)]
            thresholds = np.array(found).T
            rates = [np.mean(population.risk(t) > TARGET) for t in thresholds]
            cells = [
                f"{rate:.3f} / {population.coverage(t).mean():.2f}"
                for rate, t in zip(rates, thresholds)
            ]
            print(f"| {name} | {n:,} | {' | '.join(cells)} |", flush=True)
            for method, rate in zip(methods, rates):
                yield Cell(f"{method} on losses, {name}, n = {n:,}", rate)


def print_others(count: int) -> Iterator[Cell]:
    print("\n| guarantee | case | violations | mean coverage |\n|---|---|---|---|")

    def row(guarantee: str, case: str, rate: float, coverage: str = "") -> Cell:
        print(f"| {guarantee} | {case} | {rate:.3f} | {coverage} |", flush=True)
        return Cell(f"{guarantee}, {case}", rate)

    for name, choose in GROUPED.items():
        found = row("risk, 200 groups of 5", name, grouped_violations(FLAT, choose, count))
        if name != AS_IF_INDEPENDENT:
            yield found
    for size, rows in ((1, "400 rows"), (5, "400 groups of 5")):
        guarantee = f"risk, {rows}, site after site"
        yield row(guarantee, "shuffled", order_violations(size, count))
        row(guarantee, "`seed=None`", order_violations(size, count, seed=None))
    for name in ("flat", "smooth"):
        rate = subgroup_violations(POPULATIONS[name], 1000, count)
        yield row("risk in each of 4 subgroups", f"{name}, n = 1,000", rate)
    rate = several_violations(OTHERS["stairs"], STAIRS, 2000, count)
    yield row("risks .1, .2, .3 and .4 at once", "stairs, n = 2,000", rate)
    for case, n in (("two scores", 1000), ("groups", 300), ("column", 1000), ("class", 1000)):
        rate = file_violations(case, n, count)
        yield row("risk, `fit` on one file", f"flat, {case}, n = {n:,}", rate)
    for name in ("smooth", "five levels", "saturated"):
        for n in (20, 200, 5000):
            rate, coverage = coverage_violations(POPULATIONS[name], n, 0.8, count)
            yield row("coverage at least .8", f"{name}, n = {n:,}", rate, f"{coverage:.3f}")
    for name, n in (("smooth", 1000), ("poor", 1000), ("two levels", 1000), ("rare errors", 150)):
        rate, coverage = cost_violations((POPULATIONS | OTHERS)[name], n, 10, count)
        yield row("mean cost, 10 an error", f"{name}, n = {n:,}", rate, f"{coverage:.3f}")


def main() -> None:
    """Print the tables, and whether any guarantee fails too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    count = parser.parse_args().draws
    tables = (print_targets, print_bands, print_general, print_others)
    print("\n" + verdict([cell for table in tables for cell in table(count)], count, DELTA))
