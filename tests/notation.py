"""Numbers as the HTML page shows them."""

from recuse.present import numbers, page
from recuse.present.text import typeset

UNDEFINED = "–"
prose = typeset


def _set(write):
    return lambda *args: typeset(write(*args))


percent, area, points, count, number, logit, p_value = map(
    _set,
    (
        numbers.percent,
        numbers.area,
        numbers.points,
        numbers.count,
        numbers.number,
        numbers.logit,
        numbers.p_value,
    ),
)
upper, level = map(_set, (numbers.upper_percent, numbers.exact_percent))


def area_with_error(x, error):
    return typeset(numbers.with_error(numbers.area(x), numbers.area(error)))


def interval(comparison):
    return typeset(numbers.interval(comparison.low, comparison.high))


class _Words:
    """`present.page`, with every sentence as the page shows it."""

    def __getattr__(self, name):
        write = getattr(page, name)

        def typeset_words(*args, **options):
            said = write(*args, **options)
            return typeset(said) if isinstance(said, str) else [typeset(text) for text in said]

        return typeset_words


words = _Words()
