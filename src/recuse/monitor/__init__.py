"""Monitoring after deployment: does the guarantee still hold?

n = predictions in the order in which they were logged, e = errors among the accepted ones.

Three e-processes (`_e_process`), each a bet against "the rate is at most ...": errors among the
accepted against the target, and accepted and abstained among all against what the calibration
split allows; and one more for the errors of each subgroup (`_units`). The tests are anytime-valid:
the probability that there is ever a false alarm is <= delta. docs/how-to/monitor.md states the
assumptions and measures false alarms and delays.
"""

from recuse.monitor._e_process import risk_interval
from recuse.monitor._log import replay
from recuse.monitor._monitor import Monitor
from recuse.monitor._state import FEWER, MORE, ORDERS, RISK, Terms
from recuse.monitor._verdict import Update, Verdict

__all__ = [
    "FEWER",
    "MORE",
    "ORDERS",
    "RISK",
    "Monitor",
    "Terms",
    "Update",
    "Verdict",
    "replay",
    "risk_interval",
]
