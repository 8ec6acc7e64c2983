"""Slow definitions beside the rejector, its reasons and ensembles."""

from __future__ import annotations

import math
import struct
from fractions import Fraction


def binomial_tail(errors, accepted, risk):
    """P(Bin(accepted, risk) <= errors), exactly."""
    r = Fraction(risk)
    terms = (math.comb(accepted, k) * r**k * (1 - r) ** (accepted - k) for k in range(errors + 1))
    return sum(terms, Fraction(0))


def softmax(z):
    """Probabilities of one row."""
    odds = [math.exp(v - max(z)) for v in z]
    return [o / sum(odds) for o in odds]


def next_classes(z, count):
    """The classes after the first, by probability and then by index."""
    order = sorted(range(len(z)), key=lambda k: (-z[k], k))
    probs = softmax(z)
    return [(k, probs[k]) for k in order[1 : count + 1]]


def less_certain(confidence, row):
    """The fraction with a smaller confidence."""
    return sum(c < confidence[row] for c in confidence) / len(confidence)


def contributions(params, features):
    """What each feature of one row adds to the score of an average row."""
    out = []
    for j, x in enumerate(features):
        clipped = min(max(x, params["low"][j]), params["high"][j])
        share = params["weights"][j] * (clipped - params["center"][j]) / params["scale"][j]
        if j == 0:
            share += params["slope"] * (x - params["center"][0])
        out.append(share)
    return out


def mean(rows, value=list):
    """The mean of the values of the same row in every file."""
    values = [value(row) for row in rows]
    return [math.fsum(column) / len(rows) for column in zip(*values)]


def row_hash(values):
    """The hash of a row, label last, which saved rejectors hold."""
    out = 0
    for value in values:
        (bits,) = struct.unpack("<Q", struct.pack("<d", float(value) + 0.0))
        out = ((out ^ bits ^ (bits >> 32)) * 0x9E3779B97F4A7C15) % 2**64
        out ^= out >> 29
    return out
