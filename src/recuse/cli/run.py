"""`recuse run`: from one held-out file to a rejector and its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import to_json
from recuse.cli.files import (
    by_columns,
    check_folder,
    read_whole,
    refuse_overwrite,
    subgroups_of,
)
from recuse.cli.options import (
    Among,
    Binary,
    Delta,
    Force,
    Groups,
    IgnoreIndex,
    Json,
    Learned,
    Probs,
    Quiet,
    RepeatedIds,
    Seed,
    SubgroupTable,
    TargetRisk,
    kind_of,
)
from recuse.evaluation import Run
from recuse.evaluation import run as run_steps
from recuse.io import HeldOut
from recuse.present import terminal
from recuse.reports import can_report, details
from recuse.reports import report as write_report
from recuse.selectors._guarantee import ACCEPTED

NO_PAGE = "Page: none, since a page is about the error rate of accepted predictions."
NO_EXTRA = "Page: none, since it needs the extra: pip install 'recuse[report]'."


def run(
    file: Annotated[
        Path, typer.Argument(help="A held-out file, or a table that `recuse import` would read.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("recuse-run"),
    target_risk: TargetRisk = 0.05,
    delta: Delta = 0.05,
    among: Among = ACCEPTED,
    learned: Learned = True,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    by: SubgroupTable = None,
    repeated_ids: RepeatedIds = "refuse",
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Diagnose a model, choose its score and a threshold with a guarantee, and write the page.

    Writes rejector.json and report.html; with --among all, or without the extra `report`, no page.
    If no threshold has the guarantee, the exit code is 1, no rejector is written, and the answer
    says what would be feasible.
    """
    check_folder(out), check_fraction(target_risk, "target_risk"), check_delta(delta)
    rejector, page = out / "rejector.json", out / "report.html"
    for path in (rejector, page):
        refuse_overwrite(path, force, file)
    reading: dict[str, Any] = {"kind": kind_of(binary, probs), "ignore_index": ignore_index}
    whole = read_whole(file, **reading, groups=groups, subgroups=by_columns(by))
    whole.labelled()
    if by is not None:
        whole = replace(whole, subgroups={**whole.subgroups, by: subgroups_of(by, whole)})
    name = (whole.model or file.stem).partition(" sha256:")[0]
    no_page = NO_PAGE if among != ACCEPTED else None if can_report() else NO_EXTRA
    with terminal.working("diagnosing, choosing and measuring", quiet=quiet):
        options: dict[str, Any] = {"target_risk": target_risk, "delta": delta, "learned": learned}
        options |= {"repeated_ids": repeated_ids, "seed": seed, "name": name}
        found = run_steps(whole, among=among, **options)
        model = found.model
        if no_page is None:
            _write_page(page, found, whole, by, seed)
        else:
            page.unlink(missing_ok=True)  # of an earlier run
        if model.rejector is None:
            rejector.unlink(missing_ok=True)
        else:
            model.rejector.save(rejector)
    if as_json:
        answer = {
            "file": str(file),
            "n": len(whole),
            "diagnosis": None if found.diagnosis is None else found.diagnosis.verdict,
            "score": str(model.tuned.score),
            "feasible": model.selection.feasible,
            "rows": str(model.cut),
            "calibrate": {"n": model.n, "accepted": model.accepted, "errors": model.errors},
            "guarantee": str(model.selection),
            "written": [str(p) for p in (page, rejector) if p.exists()],
        }
        print(to_json(answer))
    elif not quiet:
        ending = "csv" if whole.logits.ndim == 2 else "npz"
        deploy = f"recuse predict {rejector} NEW_OUTPUTS --out decisions.{ending}"
        for line in found.lines(deploy, str(page) if no_page is None else None):
            terminal.say(line)
        if no_page is not None:
            terminal.say(no_page)
        if by is not None and model.rejector is not None:
            terminal.say(
                f"Subgroups: the guarantee is for all rows together; for each {by}, with its own "
                f"threshold: recuse fit --by {by}."
            )
    if model.rejector is None:
        raise typer.Exit(1)


def _write_page(page: Path, found: Run, whole: HeldOut, by: str | None, seed: int) -> None:
    """Write the page of one model and its rows."""
    name = found.model.name
    names = None if whole.class_names is None else list(whole.class_names)
    of = None if by is None else {name: whole.predictions().subgroups[by]}
    models = {name: found.parts}
    shown = details(found.evaluation, models, classes=names, subgroups=of, seed=seed)
    write_report(found.evaluation, page, details=shown)
