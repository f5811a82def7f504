"""Two hundred clients at once for ten minutes: every call is answered, and no point is lost.

`make soak` runs it; THRIVE_SOAK_SECONDS and THRIVE_SOAK_CLIENTS make it shorter or smaller.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.end_to_end.test_server import log_of, served

from thrive.store import runs
from thrive.store.home import create_home, open_home

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("THRIVE_SOAK_SECONDS", "600"))
CLIENTS = int(os.environ.get("THRIVE_SOAK_CLIENTS", "200"))
API = "/api/2.0/mlflow/"
BATCH = 20
GROWTH_MB = 200
"""What the server may grow by: points go to the disk, and its caches have their limits."""


class Client:
    """A client of the protocol on a connection of its own, with a run of its own."""

    def __init__(self, number, url, token):
        self.dice = random.Random(number)
        self.host, _, self.port = url.removeprefix("http://").partition(":")
        self.token = token
        self.number = number
        self.sent = {"loss": [], "acc": []}
        self.params, self.calls, self.slowest = {}, Counter(), 0.0
        self.run_id = ""

    async def ask(self, method, path, body=None):
        """Return the answer to a request; no call is asked twice."""
        status, found = await self.once(method, path, body)
        assert status == 200, (path, status, found[:500])
        self.calls[path.partition("?")[0]] += 1
        return json.loads(found)

    async def once(self, method, path, body):
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {API}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        began = time.monotonic()
        self.writer.write(head.encode() + content)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in answer:
            found = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                found += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            size = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            found = await self.reader.readexactly(size)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return int(answer.split()[1]), found

    async def live(self, experiment, until):
        """Log until the time is over; what was answered is kept to be compared."""
        self.reader, self.writer = await asyncio.open_connection(
            self.host, int(self.port), limit=1 << 24
        )
        made = await self.ask("POST", "runs/create", {"experiment_id": experiment})
        self.run_id = made["run"]["info"]["run_id"]
        while time.monotonic() < until:
            await self.dice.choices(
                [self.one, self.batch, self.param, self.search, self.history],
                [60, 20, 5, 5, 1],
            )[0](experiment)
            await asyncio.sleep(self.dice.random() * 0.05)
        done = {"run_id": self.run_id, "status": "FINISHED"}
        await self.ask("POST", "runs/update", done)
        self.writer.close()

    def point(self, key):
        step = len(self.sent[key])
        value = self.dice.random()
        return {"key": key, "value": value, "timestamp": 1_700_000_000_000 + step, "step": step}

    async def one(self, _):
        point = self.point("loss")
        await self.ask("POST", "runs/log-metric", {"run_id": self.run_id, **point})
        self.sent["loss"].append(point["value"])

    async def batch(self, _):
        points = []
        for _place in range(BATCH):
            points.append(self.point("acc") | {"step": len(self.sent["acc"]) + len(points)})
        await self.ask("POST", "runs/log-batch", {"run_id": self.run_id, "metrics": points})
        self.sent["acc"] += [point["value"] for point in points]

    async def param(self, _):
        key, value = f"p{len(self.params) % 50}", "x"
        body = {"run_id": self.run_id, "key": key, "value": value}
        await self.ask("POST", "runs/log-parameter", body)
        self.params[key] = value

    async def search(self, experiment):
        body = {"experiment_ids": [experiment], "filter": "metrics.loss < 0.5", "max_results": 20}
        body["order_by"] = ["metrics.loss ASC"]
        await self.ask("POST", "runs/search", body)

    async def history(self, _):
        path = f"metrics/get-history?run_id={self.run_id}&metric_key=loss"
        found = (await self.ask("GET", path)).get("metrics", [])
        assert [point["value"] for point in found] == self.sent["loss"]


async def together(clients, experiment):
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(client.live(experiment, until) for client in clients))


def memory_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


async def first(client):
    client.reader, client.writer = await asyncio.open_connection(client.host, int(client.port))
    made = await client.ask("POST", "experiments/create", {"name": "soak"})
    client.writer.close()
    return made["experiment_id"]


def test_two_hundred_clients_meet_no_error_and_lose_no_point(tmp_path):
    create_home(tmp_path, "soak").close()
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    with served(tmp_path, "--no-worker") as (process, known):
        clients = [Client(number, known["url"], known["token"]) for number in range(CLIENTS)]
        experiment = asyncio.run(first(clients[0]))
        before = memory_mb(process.pid)
        asyncio.run(together(clients, experiment))
        after = memory_mb(process.pid)
    errors = [line for line in log_of(tmp_path) if line.get("level") in {"ERROR", "CRITICAL"}]
    assert errors == []
    home = open_home(tmp_path)
    with home.read() as tx:
        for client in clients:
            for key, values in client.sent.items():
                found = runs.metric_history(tx, home.project_id, client.run_id, key)
                assert [point.value for point in found] == values
            (run,) = runs.some(tx, home.project_id, [client.run_id])
            assert run.params == client.params
            assert str(run.state) == "done"
    home.close()
    points = sum(len(values) for client in clients for values in client.sent.values())
    calls = sum((client.calls for client in clients), Counter())
    slowest = max(client.slowest for client in clients)
    print(
        f"\nsoak clients={CLIENTS} seconds={SECONDS:.0f} calls={calls.total()} points={points} "
        f"slowest_s={slowest:.2f} memory_mb={before:.0f}->{after:.0f}"
    )
    assert after - before < GROWTH_MB
