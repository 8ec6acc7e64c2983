"""The curve in bounded memory: counts, merging, and intervals that contain the exact value.

Confidences fall into bins that keep their order (`_bins`); a sketch counts the right and the wrong
in each (`_curve`), and the best and the worst order inside bins bound every measure (`_certify`).
`SubgroupSketches` keeps one sketch for each class, scene or site.
"""

from recuse.sketch._certify import Certified
from recuse.sketch._curve import CurveSketch, SubgroupSketches, load
from recuse.sketch._file import is_sketch

__all__ = ["Certified", "CurveSketch", "SubgroupSketches", "is_sketch", "load"]
