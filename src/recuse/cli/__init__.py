"""The command line: parse, call, present, exit code. One file for each command.

Results go to stdout, progress and warnings to stderr. Exit codes: 0 success, 1 the answer is "no"
(infeasible, alarm), 2 bad input, 70 a bug in recuse, 130 interrupted, 141 broken pipe.

options  shared options
files    shared checks and warnings of input and output files
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any

import typer

from recuse import __version__
from recuse.cli import (
    demo,
    diagnose,
    export,
    files,
    fit,
    logits,
    measure,
    mixture,
    monitor,
    page,
    pick,
    predict,
    run,
    sketch,
    split,
    train,
)
from recuse.errors import DataWarning, InputError, MissingExtraError

INTERNAL_ERROR = 70  # EX_SOFTWARE
INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE
UsageError: Any = typer.BadParameter.__base__  # typer does not export it

app = typer.Typer(
    name="recuse",
    help="Know when your classifier should step aside: measure, repair and deploy a reject option.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("import")(split.import_)
for command in (
    demo.demo,
    run.run,
    split.split,
    split.average,
    measure.evaluate,
    measure.compare,
    mixture.mixture,
    pick.pick,
    fit.fit,
    predict.predict,
    export.export,
    logits.logits,
    page.report,
    sketch.sketch,
    train.recipes,
    train.train,
):
    app.command()(command)
app.command("merge")(sketch.merge_)
app.command("diagnose")(diagnose.diagnose_)
app.command("monitor")(monitor.monitor_)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"recuse {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Know when your classifier should step aside: measure, repair and deploy a reject option."""


def main() -> None:
    """Run the command line; malformed input is one line on stderr and exit code 2."""
    try:
        _run()
    except (BrokenPipeError, SystemExit) as end:
        # typer and rich exit with 1, which is the answer "no"
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        _drop_unwritten()
        sys.exit(BROKEN_PIPE)


@contextmanager
def _warnings_in_one_line() -> Generator[None]:
    """Print what the library says of the data as the command line prints its own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **options: Any) -> None:
            if issubclass(category, DataWarning):
                files.warn(str(message))
            else:
                others(message, category, *rest, **options)

        warnings.showwarning = show  # ty: ignore[invalid-assignment]
        yield


def _run() -> None:
    try:
        try:
            _refuse_empty(["recuse", *sys.argv[1:]])
            with _warnings_in_one_line():
                code = app(prog_name="recuse", standalone_mode=False)
        finally:
            print(end="", flush=True)
        sys.exit(code)
    except BrokenPipeError:
        raise
    except UsageError as error:
        _misused(error)
        sys.exit(2)
    except (InputError, MissingExtraError) as error:
        print("recuse:", *str(error).splitlines(), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"recuse: {where}{error.strerror or error}", file=sys.stderr)
        _drop_unwritten()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # a bug of ours must not read as the answer "no"
        if isinstance(error.__cause__, KeyboardInterrupt):  # as some versions of typer pass it on
            sys.exit(INTERRUPTED)
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)


def _refuse_empty(words: list[str]) -> None:
    """Refuse an empty argument: an unset shell variable would mean the current folder."""
    for before, word in pairwise(words):
        if not word or (word.startswith("--") and word.endswith("=")):
            after = word.rstrip("=") or before
            raise InputError(f"expected a value after {after}, got an empty one")


def _misused(error: Any) -> None:
    """Print a usage error in one line; the help if there was no argument at all."""
    if len(sys.argv) == 1:
        print(error.format_message(), end="")
        return
    known = {command.name for command in typer.main.get_group(app).commands.values()}
    asked = next((f"recuse {word}" for word in sys.argv[1:2] if word in known), "recuse")
    said = " ".join(error.format_message().split()).rstrip(".")
    print(f"recuse: {said}{_given(error)}; see {asked} --help", file=sys.stderr)


def _given(error: Any) -> str:
    """Return the refused value where the message does not show it."""
    details = getattr(error.__context__, "errors", None)  # of pydantic, which typer checks with
    found = [f", got {detail['input']!r}" for detail in details()[:1]] if callable(details) else []
    return "" if not found or found[0].removeprefix(", got ") in str(error) else found[0]


def _drop_unwritten() -> None:
    """Drop unwritten output; the interpreter would try again at its end and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
