"""A score as a value: its name and its parameters.

n = examples, K = classes.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.scores._costs import EXPECTED_COST, cheapest, expected_cost
from recuse.scores._functions import SCORES, SOFTMAX_FAMILY, confidence
from recuse.scores._learned import combination, combined, learned
from recuse.scores._rows import predict_and_score

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

    from recuse.scores._sums import Sums


LEARNED = {"learned": learned, "combination": combination}
OF_CONFIDENCES = ("confidence", "combination")  # these take confidences, the others logits
FUNCTIONS = {**SCORES, **LEARNED, "confidence": confidence, EXPECTED_COST: expected_cost}
OWN = {name: inspect.unwrap(function) for name, function in FUNCTIONS.items()}  # without a warning


@dataclass(frozen=True)
class Score:
    """A score by name, with its parameters: callable, hashable, JSON-able.

    >>> import numpy as np
    >>> score = Score("logit_norm", {"p": 3, "center": True})
    >>> str(score), Score.parse("logit_norm(p=3, center=true)") == score
    ('logit_norm(p=3, center=true)', True)
    >>> score(np.array([[2.0, 0.0, 1.0]])).shape
    (1,)
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if self.name not in FUNCTIONS:
            raise InputError(f"expected a score among {', '.join(SCORES)}, got {self.name!r}")
        known = dict([*self._signature().items()][1:])
        for key, value in self.params.items():
            if key not in known:
                takes = ", ".join(known) or "no parameters"
                raise InputError(f"score `{self.name}` takes {takes}, got {key!r}")
            _check_value(self.name, known[key], value)
        missing = [k for k, v in known.items() if v.default is v.empty and k not in self.params]
        if missing:
            fits = "`fit(costs=)`" if self.name == EXPECTED_COST else "`tune`"
            raise InputError(f"score `{self.name}` needs {', '.join(missing)}; {fits} fits it")

    def _signature(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(FUNCTIONS[self.name]).parameters

    def __call__(self, logits: ArrayLike | Sums) -> Float32[Array, "n ..."]:
        """Return the confidence of every prediction; in float64 of the `Sums` of a chunk."""
        return OWN[self.name](logits, **self.params)

    def __str__(self) -> str:
        if name := self.params.get("name"):
            return f"{self.name}[{name}]"
        named = {k: v for k, v in self.params.items() if not self.fitted and k != "costs"}
        shown = ", ".join(f"{k}={_show(v)}" for k, v in named.items())
        return f"{self.name}({shown})" if shown else self.name

    @property
    def fitted(self) -> bool:
        """True if its parameters were learned from data, so that its name does not state them."""
        return self.name in LEARNED

    @property
    def shift_invariant(self) -> bool:
        """True if a shift of all logits of a row does not change it, or it does not take logits."""
        centered = self.name == "logit_norm" and self.params.get("center", True)
        return self.name in (*SOFTMAX_FAMILY, *OF_CONFIDENCES, EXPECTED_COST) or centered

    @classmethod
    def parse(cls, text: str) -> Score:
        """Read what `str` writes: `msp`, `logit_norm(p=3, center=true)`, `logit_norm(p=inf)`."""
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
        if not match:
            raise InputError(f"expected a score like msp or logit_norm(p=3), got {text!r}")
        params = {}
        for part in filter(None, (match[2] or "").split(",")):
            key, _, value = part.partition("=")
            params[key.strip()] = _read(value.strip(), text)
        return cls(match[1], params)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an infinite `p` is the string "inf"."""
        params = {k: "inf" if v == math.inf else v for k, v in self.params.items()}
        return {"name": self.name, "params": params}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        """Read what `to_dict` returns."""
        params = {k: _plain(v) for k, v in data["params"].items()}
        return cls(data["name"], params)


def decided(
    logits: ArrayLike, score: Score
) -> tuple[Int[Array, "n ..."], Float32[Array, "n ..."], Array]:
    """Return predictions and confidences, and what the probability of being right goes by.

    That is the confidence, or of `expected_cost` the probability of the predicted class.
    """
    if score.name == EXPECTED_COST:
        return cheapest(logits, **score.params)
    prediction, (found,) = score_by_all(logits, (score,))
    return prediction, found, found


def score_by_all(
    logits: ArrayLike, scores: Sequence[Score]
) -> tuple[Int[Array, "n ..."], Float32[Array, "m n ..."]]:
    """Return the predicted classes and the confidences under each of m scores, in one pass."""
    return predict_and_score(logits, lambda s: [score(s) for score in scores], len(scores))


def score_features(
    features: Float[Array, "N f"], score: Score, predicted: Int[Array, " N"] | None = None
) -> Float[Array, " N"]:
    """Return a learned score of features and predicted classes that are known, in float64."""
    p = score.params
    table = np.array([p[name] for name in ("weights", "center", "scale", "low", "high")])
    found = combined(features, (p["slope"], p["intercept"]), table)
    return found + np.array(own)[predicted] if (own := p.get("class_intercepts")) else found


def _show(value: float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _read(value: str, text: str) -> float | bool:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"expected a number or true/false, got {value!r} in {text!r}") from None
    return int(number) if number.is_integer() else number


def _plain(value: Any) -> Any:
    """Return a parameter from JSON."""
    if isinstance(value, list):
        return tuple(value)
    return math.inf if value == "inf" else value


def _check_value(name: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse a value of another kind than its parameter."""
    flag = isinstance(parameter.default, bool)
    several = str(parameter.annotation).startswith("Sequence")
    if isinstance(parameter.default, str):
        right = isinstance(value, str)
    elif several:
        right = isinstance(value, tuple) and all(type(v) in (int, float) for v in value)
    else:
        right = isinstance(value, bool) == flag and isinstance(value, (bool, int, float))
    if not right:
        text = "text" if isinstance(parameter.default, str) else "a number"
        kind = "numbers" if several else "true or false" if flag else text
        raise InputError(f"expected `{parameter.name}` of score `{name}` {kind}, got {value!r}")
