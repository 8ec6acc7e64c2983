"""The curve in bounded memory: count, merge, and intervals that hold the exact value.

Confidences fall into bins that keep their order (`_scales`); a sketch counts the right and the
wrong in each (`_tally`, `_curve`), and the best and the worst order inside bins bound every
measure (`_certify`). `GroupedSketch` keeps one for each class, scene or site.
"""

from recuse.sketch._certify import Certified
from recuse.sketch._curve import CurveSketch
from recuse.sketch._file import check_path
from recuse.sketch._groups import GroupedSketch, load

__all__ = ["Certified", "CurveSketch", "GroupedSketch", "check_path", "load"]
