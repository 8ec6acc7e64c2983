"""After deployment: is the promise still kept? Tests that may be looked at any time.

n = predictions in the order in which they were logged, e = errors among the accepted of them.

Three e-processes (`_wealth`), each a bet against "the rate is at most ...": errors among the
accepted against the target, accepted and abstained among all against what the calibrate split
allows. The probability that there is ever a false alarm is <= delta. docs/how-to/monitor.md
states the assumptions and measures false alarms and delays.
"""

from recuse.monitor._log import replay
from recuse.monitor._monitor import Monitor, Update
from recuse.monitor._state import ORDERS, Terms
from recuse.monitor._verdict import FEWER, MORE, RISK, Verdict
from recuse.monitor._wealth import risk_interval

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
