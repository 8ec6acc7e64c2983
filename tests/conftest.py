import signal
import sys

import pytest

from recuse import _kernels, cli

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that began the tests with `&`
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or all that they start inherits it


@pytest.fixture
def recuse(tmp_path, monkeypatch, capsys):
    """Run the command line in tmp_path: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recuse", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(params=["numpy", "numba"])
def loops(request, monkeypatch):
    """Run what has two ways by each: NumPy, and the loops of numba."""
    monkeypatch.setattr(_kernels, "repays", lambda seconds: request.param == "numba")
    return request.param
