import json
import shutil
from collections.abc import Iterator
from itertools import count

import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app

from thrive.store.home import FOLDER, create_home, open_home

API = "/api/2.0/mlflow/"


class Client:
    """Asks an application as an MLflow client does."""

    def __init__(self, app, token=LOCAL_TOKEN) -> None:
        self.app = app
        self.token = token
        self._moments = count(1000)

    def reply(self, method, path, body=None, query="", prefix=API, **more):
        return ask(
            self.app, method, prefix + path, body=body, query=query, token=self.token, **more
        )

    def get(self, path, query="", **more):
        reply = self.reply("GET", path, query=query, **more)
        assert reply.status == 200, reply.body
        return reply.json()

    def post(self, path, method="POST", **body):
        reply = self.reply(method, path, body)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def refused(self, method, path, body=None, query="") -> tuple[int, str, str]:
        reply = self.reply(method, path, body, query)
        told = reply.json()
        return reply.status, told["error_code"], told["message"]

    def run(self, name="exp", **fields) -> str:
        """Create a run in an experiment that may have to be created, and return its id."""
        known = self.reply("GET", "experiments/get-by-name", query=f"experiment_name={name}")
        number = (
            known.json()["experiment"]["experiment_id"]
            if known.status == 200
            else self.post("experiments/create", name=name)["experiment_id"]
        )
        made = self.post(
            "runs/create", experiment_id=number, start_time=next(self._moments), **fields
        )
        return made["run"]["info"]["run_id"]

    def search(self, filter_string="", experiment_ids=("1",), **fields):
        given = {"filter": filter_string, "experiment_ids": list(experiment_ids), **fields}
        return self.post("runs/search", **given)

    def names(self, filter_string="", **fields) -> list[str]:
        found = self.search(filter_string, **fields)["runs"]
        return [run["info"]["run_name"] for run in found]


@pytest.fixture(scope="session")
def new_home(tmp_path_factory):
    """A home to copy: that takes less than to make one."""
    folder = tmp_path_factory.mktemp("new")
    create_home(folder, "test").close()
    return folder / FOLDER


@pytest.fixture
def home(new_home, tmp_path):
    shutil.copytree(new_home, tmp_path / FOLDER)
    made = open_home(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(home) -> Iterator[Client]:
    app = make_app(home)
    yield Client(app)
    app.close()
