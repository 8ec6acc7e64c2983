"""The score to use, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recuse.scores import Score
from recuse.tuning._judge import Trial

MSP = Score("msp")


@dataclass(frozen=True)
class Tuned:
    """The score to use, and the evidence for it."""

    score: Score
    reason: str  # one sentence, for people
    # every candidate with the objective on the tune split; cross-fitted for a learned score
    table: tuple[tuple[Score, float], ...] = field(repr=False)
    gain: float  # cross-fitted, of the best trial: how much better than MSP, > 0 is better
    gain_se: float
    n: int
    digest: str  # of the tune split
    objective: str = "aurc"
    trials: tuple[Trial, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.reason

    @property
    def repaired(self) -> bool:
        """Whether MSP was replaced."""
        return self.score != MSP

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "score": self.score.to_dict(),
            "reason": self.reason,
            "objective": self.objective,
            "gain": self.gain,
            "gain_se": self.gain_se,
            "trials": [trial.to_dict() for trial in self.trials],
            "n": self.n,
            "digest": self.digest,
        }
