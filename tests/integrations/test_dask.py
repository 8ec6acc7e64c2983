"""Sketches on a cluster of three processes, one of which dies at work."""

import os
import signal
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from recuse import CurveSketch, InputError, MissingExtraError, cli, write_logits
from recuse.evaluation._shards import Plan, chunks, merge
from recuse.integrations import dask
from recuse.scores import Score
from samples import sample

MSP = Score("msp")


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'recuse\[dask\]'"):
        dask.sketch(["a.npz"], client="tcp://127.0.0.1:1")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="needs dask: pip install recuse[dask]")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"{i}.npz" for i in range(20)]
    for i, path in enumerate(paths):
        write_logits(path, *sample(300, seed=i), groups=np.arange(300) % 3)
    return paths


def slowly(marks, shard, **options):
    """Leave a mark with the process that reads, and take a while."""
    (marks / f"{os.getpid()}-{os.path.basename(shard)}").touch()
    time.sleep(0.2)
    return chunks(shard, **options)


def local(shards, plan):
    return merge(plan.sketch(shard) for shard in shards)


def test_a_cluster_counts_what_one_process_counts(client, shards):
    assert dask.sketch(shards, MSP, client=client) == local(shards, Plan(MSP))
    grouped = Plan(MSP, by="groups")
    assert dask.sketch(shards[:9], grouped, client=client) == local(shards[:9], grouped)
    assert dask.sketch(shards[:1], client=client.scheduler.address) == local(shards[:1], Plan())


def test_workers_fetch_what_a_url_names(client, shards):
    urls = [f"file://{shard}" for shard in shards]
    found = dask.sketch(urls, client=client)
    assert found.to_dict() == local(shards, Plan()).to_dict()


def test_a_worker_that_dies_costs_only_time(client, shards, tmp_path):
    alive = {info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()}
    assert len(alive) == 3
    killed = []

    def kill_one():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = [m.name.split("-") for m in tmp_path.iterdir()]
            if len(done) > 6:
                killed.append(int(done[0][0]))
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    plan = Plan(MSP, read=partial(slowly, tmp_path))
    found = dask.sketch(shards, plan, client=client)
    killer.join()
    assert found == local(shards, Plan(MSP))
    assert found.n == 6000
    assert killed[0] in alive
    read = [m.name.split("-")[1] for m in tmp_path.iterdir()]
    assert len(set(read)) == 20 < len(read)  # what the dead had counted was counted again


def fails_once(marks, shard, **options):
    mark = marks / os.path.basename(shard)
    if not mark.exists():
        mark.touch()
        raise OSError("the network is away")
    return chunks(shard, **options)


def test_a_shard_that_cannot_be_read_for_once_is_read_again(client, shards, tmp_path):
    plan = Plan(MSP, read=partial(fails_once, tmp_path))
    assert dask.sketch(shards[:4], plan, client=client) == local(shards[:4], Plan(MSP))


def dies(marks, shard, **options):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_shard_that_kills_its_workers_is_no_endless_loop(client, shards, tmp_path):
    plan = Plan(MSP, read=partial(dies, tmp_path))
    with pytest.raises(InputError, match="every worker that read a shard died"):
        dask.sketch(shards[:1], plan, client=client)


def test_progress_is_a_bar_on_stderr(client, shards, capsys):
    found = dask.sketch(shards[:3], MSP, client=client, progress=True)
    assert found.n == 900
    out, err = capsys.readouterr()
    assert out == ""
    assert "shards" in err


def test_a_bad_shard_is_named(client, shards, tmp_path):
    write_logits(tmp_path / "bare.npz", sample(10)[0])
    with pytest.raises(InputError, match=r"bare.npz: expected `labels`"):
        dask.sketch([*shards[:2], tmp_path / "bare.npz"], client=client)
    with pytest.raises(InputError, match="at least one shard"):
        dask.sketch([], client=client)


def test_the_command_line_takes_a_scheduler(cluster, shards, tmp_path, monkeypatch, capsys):
    out = tmp_path / "s.npz"
    arguments = ["sketch", *map(str, shards), "--out", str(out), "--quiet"]
    arguments += ["--scheduler", cluster.scheduler_address]
    monkeypatch.setattr(sys, "argv", ["recuse", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert capsys.readouterr() == ("", "")
    found = CurveSketch.load(out)
    assert found.n == 6000
    assert found == CurveSketch.merged(Plan().sketch(s) for s in shards)
