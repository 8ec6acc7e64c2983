"""`python tests/slow.py TIMES`: write tests/slow.txt, the tests that `make check` leaves out.

TIMES is what `RECUSE_TIMES=TIMES make test` wrote: CPU seconds and name of each test. Cases of one
test are added up; a test whose cases take more than SECONDS together is slow.
"""

import sys
from collections import Counter
from pathlib import Path

SECONDS = 0.35
HEAD = """\
# Tests that `make check` leaves out and `make test` runs; written by `make slow`. A line names a
# test with all its cases, or a whole file.
"""


def slow(lines):
    """Names of slow tests, slowest first."""
    total = Counter()
    for line in lines:
        seconds, name = line.split("\t")
        total[name.partition("[")[0]] += float(seconds)
    return [name for name, seconds in total.most_common() if seconds > SECONDS]


if __name__ == "__main__":
    names = slow(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    text = HEAD + "".join(f"{name}\n" for name in names)
    (Path(__file__).parent / "slow.txt").write_text(text, encoding="utf-8")
