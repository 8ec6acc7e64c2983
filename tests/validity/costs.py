"""How often a mean cost exceeds its limit, and which calibration decides most cheaply.

    python -m tests.validity.costs [--draws 2000]

prints the tables of docs/how-to/costs.md, from populations of few distinct logits, whose mean cost
is known. n = calibration rows, S = distinct rows of logits, K = classes.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
from scipy.special import expit, softmax
from scipy.stats import binom
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from recuse.io import HeldOut
from recuse.rejector._costs import tune_by_costs
from recuse.scores._score import decided
from recuse.selectors._costs import mean_cost_upper

DELTA, DRAWS, SIZES = 0.1, 2000, (100, 1000, 10_000)
TUNINGS = 20  # tuning splits, each with its share of the draws
SIGNIFICANT = 0.01  # of the whole table: each cell has its share
CHOWS = np.array([[0, 1, 0.1], [1, 0, 0.1]])
MEDICAL = np.array([[0, 1, 0.3], [10, 0, 0.3]])
RARE = np.array([[0, 1, 0.5], [100, 0, 0.5]])


class Population(NamedTuple):
    """Rows of logits, how often each comes, and the probabilities of its labels."""

    logits: np.ndarray  # (S, K)
    weight: np.ndarray  # (S,)
    labels: np.ndarray  # (S, K)
    costs: np.ndarray  # (K, K + 1)

    def mean_cost(self, prediction: np.ndarray, accept: np.ndarray) -> float:
        action = np.where(accept, prediction, len(self.costs))
        return float(self.weight @ (self.labels @ self.costs)[np.arange(len(action)), action])

    @property
    def least(self) -> float:
        """The mean cost of the cheapest decisions, under the true probabilities."""
        return float(self.weight @ (self.labels @ self.costs).min(axis=1))


def of_two(log_odds: np.ndarray, weight: np.ndarray, logit: np.ndarray, costs: np.ndarray):
    """Two classes: the true log-odds, and what the model says."""
    sick = expit(log_odds)
    z = np.c_[np.zeros(len(logit)), logit]
    return Population(z, weight / weight.sum(), np.c_[1 - sick, sick], costs)


def gaussian(prevalence: float, distance: float, points: int = 200):
    """Log-odds of two Gaussian classes, and their weights."""
    x = np.linspace(-5, 5 + distance, points)
    density = [p * np.exp(-((x - m) ** 2) / 2) for p, m in
               ((1 - prevalence, 0.0), (prevalence, distance))]  # fmt: skip
    odds = np.log(prevalence / (1 - prevalence)) + distance * x - distance**2 / 2
    return odds, density[0] + density[1]


def classes(k: int, seed: int = 0) -> Population:
    """Many classes, the last of 1 %, whose misses cost ten times as much."""
    rng = np.random.default_rng(seed)
    prior = np.r_[np.full(k - 1, 0.99 / (k - 1)), 0.01]
    z = 2 * rng.normal(size=(400, k)) + np.log(prior)
    costs = np.c_[1 - np.eye(k), np.full(k, 0.3)]
    costs[-1, :-1] *= 10
    return Population(2.5 * z, np.full(400, 1 / 400), softmax(z, axis=1), costs)


ODDS, WEIGHT = gaussian(0.3, 2.0)
RARE_ODDS, RARE_WEIGHT = gaussian(0.01, 3.0)
POPULATIONS = {
    "flat: each answer errs in 5 %": of_two(
        np.log([19.0, 1 / 19]), np.ones(2), np.log([19.0, 1 / 19]), CHOWS
    ),
    "three levels": of_two(np.array([-4.0, -1.0, 3.0]), np.array([5, 2, 3.0]),
                           np.array([-8.0, -2.0, 6.0]), MEDICAL),
    "smooth, misses 10:1": of_two(ODDS, WEIGHT, 3 * ODDS, MEDICAL),
    "a class of 1 %, misses 100:1": of_two(RARE_ODDS, RARE_WEIGHT, 2 * RARE_ODDS, RARE),
    "five classes, one of 1 %": classes(5),
}  # fmt: skip


class Outcome(NamedTuple):
    """Over many draws."""

    violations: float  # share of draws whose limit is below the mean cost
    draws: int
    upper: float  # mean limit
    cost: float  # mean cost of the decisions
    coverage: float

    def above(self, delta: float, cells: int) -> bool:
        """Whether it is violated significantly more often than in delta of the draws."""
        count = round(self.violations * self.draws)
        return bool(binom.sf(count - 1, self.draws, delta) < SIGNIFICANT / cells)


def draw(p: Population, n: int, rng: np.random.Generator) -> HeldOut:
    """Rows of the population."""
    row = rng.choice(len(p.weight), n, p=p.weight)
    below = np.cumsum(p.labels[row], axis=1) < rng.uniform(size=(n, 1))
    return HeldOut(p.logits[row], np.minimum(below.sum(axis=1), p.labels.shape[1] - 1))


def simulate(p: Population, n: int, draws: int, delta: float = DELTA, seed: int = 0, upper=None):
    """Fit a temperature on n / 4 rows, and limit the mean cost on n, again and again."""
    rng, found = np.random.default_rng(seed), []
    joint = (p.weight[:, None] * p.labels).ravel()
    for _ in range(TUNINGS):
        score = tune_by_costs(draw(p, max(n // 4, 20), rng), p.costs, None).score
        prediction, confidence, _ = decided(p.logits, score)
        accept = confidence >= 0
        paid = p.costs[:, np.where(accept, prediction, len(p.costs))].T  # of each row and label
        spent = rng.multinomial(n, joint, size=draws // TUNINGS) @ paid.ravel()
        sums, place = np.unique(spent.round(9), return_inverse=True)
        limit = np.asarray((upper or mean_cost_upper)(sums, n, p.costs.max(), delta))[place]
        cost = p.mean_cost(prediction, accept)
        found.append((np.mean(limit < cost - 1e-12), limit.mean(), cost, p.weight @ accept))
    violations, limits, cost, coverage = np.mean(found, axis=0)
    return Outcome(violations, draws // TUNINGS * TUNINGS, limits, cost, coverage)


# Which calibration?


def temperature(z: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    file = HeldOut(np.c_[np.zeros(len(z)), z], y)
    return expit(new / tune_by_costs(file, MEDICAL, None).score.params["temperature"])


def platt(z: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    fitted = LogisticRegression(C=1e4).fit(z[:, None], y)
    return fitted.predict_proba(new[:, None])[:, 1]


def isotonic(z: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    return IsotonicRegression(out_of_bounds="clip").fit(z, y).predict(new)


CALIBRATIONS = {"temperature": temperature, "Platt (slope and intercept)": platt,
                "isotonic": isotonic}  # fmt: skip
SHIFT = np.log(0.3 / 0.7)
MODELS = {
    "three times too confident": of_two(ODDS, WEIGHT, 3 * ODDS, MEDICAL),
    "the same, trained on balanced classes": of_two(ODDS, WEIGHT, 3 * (ODDS - SHIFT), MEDICAL),
    "too confident far from even odds": of_two(
        ODDS, WEIGHT, np.sign(ODDS) * np.abs(ODDS) ** 1.5, MEDICAL
    ),
}


def excess(p: Population, calibrate, n: int, draws: int, seed: int = 0) -> float:
    """Return the mean cost beyond the cheapest, with probabilities calibrated on n rows."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        file = draw(p, n, rng)
        z = p.logits[:, 1]
        sick = expit(z) if calibrate is None else calibrate(file.logits[:, 1], file.labels, z)
        expected = np.c_[1 - sick, sick] @ p.costs
        prediction = expected[:, :2].argmin(axis=1)
        accept = expected[:, :2].min(axis=1) <= expected[:, 2]
        found.append(p.mean_cost(prediction, accept) - p.least)
    return float(np.mean(found))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    draws = parser.parse_args().draws
    cells = len(POPULATIONS) * len(SIZES)
    print("| population | n | violations | limit | mean cost | least possible | accepted |")
    print("|---|---|---|---|---|---|---|")
    for name, p in POPULATIONS.items():
        for n in SIZES:
            o = simulate(p, n, draws)
            flag = " **above delta**" if o.above(DELTA, cells) else ""
            print(f"| {name} | {n:,} | {o.violations:.4f}{flag} | {o.upper:.3f} | {o.cost:.3f} | "
                  f"{p.least:.3f} | {o.coverage:.2f} |")  # fmt: skip
    print("\n| model | tuning rows | as it is | " + " | ".join(CALIBRATIONS) + " |")
    print("|---|---|---|" + "---|" * len(CALIBRATIONS))
    for name, p in MODELS.items():
        for n in (100, 400, 2000):
            each = (excess(p, c, n, draws // 10) for c in (None, *CALIBRATIONS.values()))
            print(f"| {name} | {n:,} | " + " | ".join(f"{x:.4f}" for x in each) + " |")


if __name__ == "__main__":
    main()
