"""Insert the commands and their options, read from the program, at a mark on one page."""

import typer

from recuse.cli import app

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in the page with the mark; return any other page unchanged."""
    if MARK not in markdown:
        return markdown
    commands = typer.main.get_command(app).commands
    return markdown.replace(MARK, "\n".join(map(section, commands.values())))


def section(command: typer.core.TyperCommand) -> str:
    """Name, help and options of one command."""
    rows = [
        f"| {names(p)} | {cell(p)} |" for p in command.params if not getattr(p, "hidden", False)
    ]
    head = [f"## `recuse {command.name}`", "", command.help or "", "", "| option | |", "|---|---|"]
    return "\n".join([*head, *rows, ""])


def names(parameter: typer.core.TyperOption | typer.core.TyperArgument) -> str:
    """Name of an option, such as `--risk`, or metavar of an argument."""
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def cell(parameter: typer.core.TyperOption | typer.core.TyperArgument) -> str:
    """Help text as one line of a table."""
    return " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
