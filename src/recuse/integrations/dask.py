"""Dask: workers score the shards, and their sketches are merged as a tree.

Only sketches are sent between workers. A task that is lost with its worker runs again elsewhere.
Tasks make new sketches and change none, and sums of integers do not depend on their order, so the
result is that of one process, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.evaluation._shards import Plan, Shard, Sketch, merge
from recuse.scores import Score

MERGED_AT_ONCE = 8
RETRIES = 2  # of a task that fails, in addition to Dask's own after a worker dies


def sketch(
    shards: Sequence[Shard],
    score: Score | Plan = Plan(),  # noqa: B008  frozen
    *,
    client: Any,
    progress: bool = False,
) -> Sketch:
    """Sketch all shards on the workers of a cluster.

    Args:
        shards: Paths that every worker can read, or URLs of fsspec.
        score: A score, or a `shards.Plan` with the options of `recuse sketch`.
        client: A `distributed.Client` or the address of a scheduler.
        progress: Show a bar on stderr.

    Raises:
        InputError: There are no shards, a shard is malformed, or it killed every worker.
    """
    distributed = extra("distributed", "dask", "sketching on a cluster")
    if not shards:
        raise InputError("expected at least one shard, got none")
    if isinstance(client, str):
        with distributed.Client(client, set_as_default=False) as connected:
            return sketch(shards, score, client=connected, progress=progress)
    plan = score if isinstance(score, Plan) else Plan(score)
    options = {"pure": False, "retries": RETRIES}
    level = client.map(plan.sketch, [str(s) for s in shards], **options)
    done = level
    while len(level) > 1:
        several = [level[i : i + MERGED_AT_ONCE] for i in range(0, len(level), MERGED_AT_ONCE)]
        level = [client.submit(merge, some, **options) for some in several]
    if progress:
        _follow(distributed.as_completed(done, loop=client.loop), len(done))
    try:
        return level[0].result()
    except distributed.scheduler.KilledWorker as error:
        raise InputError(f"every worker that read a shard died ({error.task})") from error
    finally:
        client.cancel(done)


def _follow(finished: Iterable[Any], total: int) -> None:
    """Show a bar of the finished shards."""
    from rich.console import Console
    from rich.progress import track as bar

    for _ in bar(finished, "shards", total, console=Console(stderr=True)):
        pass
