"""What the command line answers, read strictly."""

import json

import pytest


def plain(text):
    """The JSON of an answer, without NaN and Infinity."""
    return json.loads(text, parse_constant=pytest.fail)


def one_line(answer, *words, code=2):
    """Exit code, nothing on stdout, one line on stderr that holds every word."""
    rc, out, err = answer
    assert (rc, out) == (code, "")
    assert err.startswith("recuse: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err
