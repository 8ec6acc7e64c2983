"""The service of docs/how-to/serve.md, by a real server."""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

import recuse as rc

pytest.importorskip("fastapi", reason="make test-integrations has it")
pytest.importorskip("uvicorn", reason="make test-integrations has it")

PAGE = Path(__file__).parents[2] / "docs/how-to/serve.md"
PATIENCE = 60  # seconds for the server to start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The rejector, and the address of a server of it."""
    folder = tmp_path_factory.mktemp("service")
    rejector = rc.fit(rc.datasets.imagenet_lite2(), target_risk=0.1)
    rejector.save(folder / "rejector.json")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "service.py").write_text(script)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            wait(process, f"{address}/openapi.json")
            yield rejector, f"{address}/decide"
        finally:
            process.terminate()


def wait(process, address):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return urlopen(address, timeout=5).close()
        except URLError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)


def post(address, body):
    data = json.dumps(body).encode()
    request = Request(address, data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_the_service_decides_as_the_rejector(server):
    rejector, address = server
    rows = rc.datasets.imagenet_lite2().logits[:3].astype(float)
    for some in (rows, rows[:1]):
        status, answer = post(address, some.tolist())
        assert status == 200
        assert answer == rejector.predict(some).to_dict()
        assert len(answer["accept"]) == len(some)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0.1, 0.2, 3.0]], "1000 classes, as fitted, got 3"),
        ([[0.1, 0.2], [0.3]], "expected an array"),
        ([], "expected"),
    ],
)
def test_malformed_rows_are_422_and_one_line(server, rows, words):
    status, answer = post(server[1], rows)
    assert status == 422
    assert words in answer["detail"]
    assert "\n" not in answer["detail"]
