import signal
import sys

import pytest

from recuse import cli

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
