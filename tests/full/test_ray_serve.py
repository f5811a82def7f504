"""The exported Ray Serve application on a real local cluster: same answers, same log, readiness."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.end_to_end.test_server import served
from tests.rest import new_token
from tests.servers import free_ports
from tests.serving_home import (
    MODEL,
    Server,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.serving.deployment import Deployment, Target, export
from thrive.serving.sealing import seal_logs
from thrive.store.prediction_frames import predictions_between

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

RAY = "2.60.0"
PLACE = Path.home() / ".cache" / "thrive-bench" / f"ray-serve-{RAY}"
SOURCES = Path(__file__).parents[2] / "src"
CALLER = "a-token-of-who-asks-the-models"
PATIENCE_S = 240
ROWS = [{"origin": name, "wind": 1.5, "flight_id": name} for name in ("EWR", "JFK", "LGA")]


def ray_tools() -> Path:
    """Return the programs of an environment with Ray Serve, made once; it sees our libraries."""
    if not (PLACE / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        pip = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, f"ray[serve]=={RAY}"], check=True)
        (own,) = PLACE.glob("lib/python*/site-packages")
        (own / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        (PLACE / "ready").touch()
    return PLACE / "bin"


class RayServe:
    """`serve run` of the exported files in a folder."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        (self.port, gcs) = free_ports(2)
        self.log = folder / "serve.log"
        (folder / "token").write_text(token)
        (folder / "callers").write_text(CALLER + "\n")
        export(Target.RAY_SERVE, folder, Deployment(home="https://thrive.example.org", cpu=0.1))
        app = (folder / "serve_app.py").read_text()
        app = app.replace("https://thrive.example.org", url).replace("/etc/thrive", str(folder))
        (folder / "serve_app.py").write_text(app.replace("/var/lib/thrive", str(folder)))
        config = json.loads((folder / "serve.yaml").read_text())
        config["http_options"]["port"] = self.port
        (folder / "serve.yaml").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [ray_tools() / "serve", "run", "serve.yaml"],
            cwd=folder,
            env=os.environ
            | {
                "PYTHONPATH": os.pathsep.join([str(folder), str(SOURCES)]),
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_GCS_SERVER_PORT": str(gcs),
            },
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(self, path: str, body=None, token: str = CALLER) -> tuple[int, dict]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read().strip() or b"{}")
        except urllib.error.HTTPError as error:
            content = error.read()
            return error.code, json.loads(content) if content.startswith(b"{") else {}

    def wait(self, what) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()[-5000:]
            try:
                if what():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-5000:])

    def replicas(self) -> set[int]:
        """Return the processes that answer, seen over some requests."""
        return {self.ask("/health")[1]["workers"][0]["pid"] for _ in range(12)}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)


@contextmanager
def on_ray(folder: Path, url: str, token: str):
    folder.mkdir()
    running = RayServe(folder, url, token)
    try:
        running.wait(lambda: running.ask("/ping")[0] == 200)
        yield running
        running.stop()
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)


def said(answer: dict) -> list:
    return [(each["score"], each["decision"]) for each in answer["predictions"]]


def test_replicas_of_ray_serve_answer_log_and_follow_as_hosts_do(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    home = make_home(folder)
    (folder / "thrive.toml").write_text("contract = 1\n")
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    token = new_token(Context(home, local_actor("t"), operation="t"), "ray-1", "serve")
    with Server(folder) as own:
        expected = own.predict(ROWS)
    kept: set[str] = set()
    with served(folder, "--no-worker") as (_, known):
        with on_ray(tmp_path / "ray", known["url"], token) as cluster:
            assert cluster.ask(f"/predict/{MODEL}", {"rows": ROWS}, "another-token")[0] == 401
            assert cluster.ask(f"/predict/{MODEL}", {"rows": [{"origin": 3}]})[0] == 422
            cluster.wait(lambda: len(cluster.replicas()) == 2)
            for _ in range(20):
                status, answer = cluster.ask(f"/predict/{MODEL}", {"rows": ROWS})
                assert (status, said(answer)) == (200, said(expected))
                kept |= {each["id"] for each in answer["predictions"]}
            first = cluster.replicas()
            for pid in first:
                os.kill(pid, signal.SIGKILL)
            cluster.wait(lambda: not first & cluster.replicas())
            newer = route(home, live(add_version(home, constant_package(0.9))))
            cluster.wait(lambda: cluster.ask("/health")[1]["revisions"].get(MODEL) == newer)
            cluster.wait(
                lambda: said(cluster.ask(f"/predict/{MODEL}", ROWS[0])[1]) == [(0.9, True)]
            )
        seal_logs(home, force=True)
        logged = predictions_between(home, 0, 1 << 53, MODEL)
        assert kept <= set(logged["prediction_id"])
        assert logged.height == logged["prediction_id"].n_unique()
    home.close()
