"""AURC and AUGRC as other programs compute them, restated as plain loops over Python floats.

Rows come in the order of falling confidence that the program's sort makes of them.
"""

import math


def risks(losses):
    """The mean loss of the first k, k = 1..n."""
    total, out = 0.0, []
    for k, l in enumerate(losses, 1):
        total += l
        out.append(total / k)
    return out


def trapezoids(x, y):
    return math.fsum((x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2 for i in range(1, len(x)))


def one_minus_aurc(losses):
    """MAPIE; verified_calibration."""
    return 1 - math.fsum(risks(losses)) / len(losses)


def trapezoid_aurc(losses):
    """FixSelectiveClassification, utils/metrics.py, AURC: sklearn's auc with (0, 0) in front."""
    n = len(losses)
    return trapezoids([k / n for k in range(n + 1)], [0.0, *risks(losses)])


def torch_uncertainty_aurc(losses):
    """torch-uncertainty 0.13, metrics/classification/risk_coverage.py, AURC."""
    n = len(losses)
    if n < 2:
        return math.nan
    return trapezoids([k / n for k in range(1, n + 1)], risks(losses)) / (1 - 1 / n)


def torch_uncertainty_augrc(losses):
    """The same file, AUGRC."""
    n = len(losses)
    if n < 2:
        return math.nan
    coverage = [k / n for k in range(1, n + 1)]
    return trapezoids(coverage, [r * c for r, c in zip(risks(losses), coverage)]) / (1 - 1 / n)


def geifman_aurc(losses):
    """AsymptoticAURC, utils/estimators.py, get_AURC, "proposed by Geifman"."""
    n, covered, accumulated = len(losses), len(losses), sum(losses)
    curve = [accumulated / n]
    ascending = losses[::-1]
    for i in range(n - 1):
        covered -= 1
        accumulated -= ascending[i]
        curve.append(accumulated / (n - i))
    return math.fsum(curve) / len(curve)


def geifman_e_aurc(losses):
    """IdoGalil, utils/uncertainty_metrics.py, AURC_calc and EAURC_calc."""
    risk = sum(losses) / len(losses)
    best = risk + (1 - risk) * math.log(1 - risk) if risk < 1 else 1.0
    return math.fsum(risks(losses)) / len(losses) - best


def fd_shifts_points(confidence, losses, generalized):
    """fd-shifts c4467ae, analysis/rc_stats_utils.py: (coverages, risks), from 1 down to 0."""
    n, covered, total = len(losses), len(losses), sum(losses)
    confidence, losses = confidence[::-1], losses[::-1]
    coverages, values = [1.0], [total / n]
    for i in range(n - 1):
        covered -= 1
        total -= losses[i]
        if confidence[i] != confidence[i + 1]:
            coverages.append(covered / n)
            values.append(total / (n if generalized else covered))
    return [*coverages, 0.0], [*values, 0.0 if generalized else values[-1]]


def fd_shifts_aurc(confidence, losses):
    """analysis/rc_stats.py, aurc."""
    return -1000 * trapezoids(*fd_shifts_points(confidence, losses, generalized=False))


def fd_shifts_augrc(confidence, losses):
    """analysis/rc_stats.py, augrc."""
    return -1000 * trapezoids(*fd_shifts_points(confidence, losses, generalized=True))
