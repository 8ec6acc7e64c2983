"""The command line: parse, call, present, exit code. One file for each command.

A command is imported when it is called; the help of all is the table below.

Results go to stdout, progress and warnings to stderr. Exit codes: 0 success, 1 the answer is "no"
(infeasible, alarm), 2 bad input, 70 a bug in recuse, 130 interrupted, 141 broken pipe.

options  shared options
files    shared checks and warnings of input and output files
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from recuse import __version__
from recuse.errors import DataWarning, InputError, MissingExtraError

INTERNAL_ERROR = 70  # EX_SOFTWARE
INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE
UsageError: Any = typer.BadParameter.__base__  # typer does not export it
MARKUP = "markdown"
DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")

COMMANDS = {  # module, function, and the first paragraph of its docstring
    "import": (
        "split",
        "import_",
        "Make a held-out file of a table, and say how the table was read.",
    ),
    "example": (
        "example",
        "example",
        "Write a held-out file to try the other commands on: outputs of a public ImageNet network.",
    ),
    "demo": (
        "demo",
        "demo",
        "Train with and without label smoothing, measure the damage, repair it, deploy a "
        "threshold.",
    ),
    "run": (
        "run",
        "run",
        "Diagnose a model, choose its score and a threshold with a guarantee, and write the page.",
    ),
    "logits": (
        "logits",
        "logits",
        "Run a model over a folder of images: logits, labels (sorted class folders), ids "
        "(file names).",
    ),
    "split": (
        "split",
        "split",
        "Cut a held-out file into disjoint parts: by row, or by group where it has `groups`.",
    ),
    "average": (
        "split",
        "average",
        "Average the logits, or the probabilities, of several models into one file.",
    ),
    "evaluate": (
        "measure",
        "evaluate",
        "Measure how well confidence separates right from wrong predictions.",
    ),
    "compare": (
        "measure",
        "compare",
        "Compare how well two models, or two scores, rank right before wrong predictions.",
    ),
    "diagnose": (
        "diagnose",
        "diagnose_",
        "Tell from held-out logits whether a model was trained with label smoothing.",
    ),
    "pick": (
        "pick",
        "pick",
        "Pick one of several trained models by accuracy, calibration and ranking on the "
        "same examples.",
    ),
    "mixture": (
        "mixture",
        "mixture",
        "Measure what one threshold accepts from several sources: errors by source, and outliers.",
    ),
    "images": (
        "images",
        "images",
        "Give each image of a segmentation file one confidence and, with labels, one loss.",
    ),
    "sketch": (
        "sketch",
        "sketch",
        "Count the predictions of any number of shards in one small file.",
    ),
    "merge": (
        "sketch",
        "merge_",
        "Merge sketches of different shards into the sketch of all of them, to the last bit.",
    ),
    "plan": (
        "plan",
        "plan_",
        "Tell how many rows to label for a threshold with a guarantee, and what it will accept.",
    ),
    "fit": (
        "fit",
        "fit",
        "Choose a score and a threshold with a guarantee, from one held-out file or from two.",
    ),
    "predict": (
        "predict",
        "predict",
        "Decide on every row of a file; with labels, also count the errors.",
    ),
    "report": (
        "page",
        "report",
        "Write one HTML page that opens offline: curves, damage, repair, threshold and guarantee.",
    ),
    "export": (
        "export",
        "export",
        "Export a model and its rejector as one ONNX file.",
    ),
    "monitor": (
        "monitor",
        "monitor_",
        "Test whether the guarantee of a deployed rejector still holds.",
    ),
    "recipes": (
        "train",
        "recipes",
        "List the experiments of `recuse train`: data, cost and published result.",
    ),
    "train": (
        "train",
        "train",
        "Train each loss with each seed, save the logits, measure the damage, repair and report.",
    ),
}
GROUPS = {  # of the help: the first command of each, and an example
    "import": ("Start", "recuse run held-out.npz --target-risk 0.05"),
    "evaluate": ("Measure", "recuse evaluate held-out.npz --risk 0.01"),
    "plan": ("Repair and deploy", "recuse fit held-out.npz --target-risk 0.05"),
    "monitor": ("Watch", "recuse monitor rejector.json --log log.csv --state state.json"),
    "recipes": ("Train", "recuse train digits --smoothing 0,0.1 --out run"),
}


def _converted(
    param: Any, kind: Any, by_typer: Callable[[Any, Any], Any], ctx: Any, given: Any
) -> Any:
    """Return the value of a parameter; what is not a plain word goes to typer.

    typer imports pydantic for it: 0.15 s of the 0.7 s of CPU of a short command.
    """
    if NoneType in get_args(kind):
        kind = get_args(kind)[0]
    several = get_origin(kind) is list
    if given is None and not param.required:
        return () if several else None
    if several:
        (kind,) = get_args(kind)
    words = [_plain(kind, word) for word in (given or () if several else [given])]
    if None in words or param.callback is not None or (param.required and not words):
        return by_typer(ctx, given)
    return words if several else words[0]


def _plain(kind: type, word: Any) -> Any:
    """Return a default as it is, and a plain word converted; None for any other."""
    if isinstance(word, kind):
        return word
    if kind is Path and isinstance(word, str) and not _forbidden(word):
        return Path(word)
    if kind is float and isinstance(word, str) and DECIMAL.fullmatch(word):
        return float(word)
    return None


def _forbidden(path: str) -> bool:
    return os.path.exists(path) and not os.access(path, os.R_OK)


def _quick(param: Any, kind: Any) -> Any:
    """Let a parameter convert plain words itself."""
    by_typer = type(param).process_value.__get__(param)
    param.process_value = partial(_converted, param, kind, by_typer)
    return param


class Command(TyperCommand):
    """A command whose option --help, too, is quick where it is not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option."""
        return _quick(super().get_help_option(ctx), bool)


def load(name: str) -> Any:
    """Import a command, and return it as typer has it."""
    module, called, _ = COMMANDS[name]
    function = getattr(import_module(f"recuse.cli.{module}"), called)
    alone = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    alone.command(name, cls=Command)(function)
    command, kinds = typer.main.get_command(alone), get_type_hints(function)
    for param in command.params:
        _quick(param, kinds[param.name])
    return command


class Commands(TyperGroup):
    """The commands by name and help; one that is called is imported."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.commands, panel = {}, ""
        for name, (*_, text) in COMMANDS.items():
            panel = ": ".join(GROUPS[name]) if name in GROUPS else panel
            self.commands[name] = TyperCommand(
                name, help=text, rich_help_panel=panel, rich_markup_mode=MARKUP
            )

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option --help, quick where it is not given."""
        return _quick(super().get_help_option(ctx), bool)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the imported command, and its arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


app = typer.Typer(
    name="recuse",
    cls=Commands,
    help="Know when your classifier should step aside: measure, repair and deploy a reject option.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
                from recuse.cli.files import warn  # a command has imported it

                warn(str(message))
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
    asked = next((f"recuse {word}" for word in sys.argv[1:2] if word in COMMANDS), "recuse")
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
