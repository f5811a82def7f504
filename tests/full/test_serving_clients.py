"""Real clients of the protocols that the model server speaks, each in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving_home import MODEL, Server, add_version, constant_package, live, make_home, route

pytestmark = pytest.mark.full

CACHE = Path.home() / ".cache" / "thrive-bench"

TRITON = """
import json, sys
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException
client = http.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("delay")
assert client.is_model_ready("delay", "1")
assert client.get_server_metadata()["name"] == "thrive"
meta = client.get_model_metadata("delay")
assert [each["name"] for each in meta["inputs"]] == ["origin", "wind", "flight_id"], meta
assert client.get_model_repository_index()[0]["state"] == "READY"
def inputs(binary, winds):
    origin = http.InferInput("origin", [2], "BYTES")
    origin.set_data_from_numpy(np.array(["EWR", "JFK"], dtype=object), binary_data=binary)
    wind = http.InferInput("wind", [2, 1], "FP64")
    wind.set_data_from_numpy(np.array(winds).reshape(2, 1), binary_data=binary)
    return [origin, wind]
found = {}
for binary in (True, False):
    for outputs in (None, [http.InferRequestedOutput("score", binary_data=binary)]):
        answer = client.infer("delay", inputs(binary, [1.0, 2.0]), outputs=outputs, request_id="r1")
        assert answer.get_response()["id"] == "r1"
        assert answer.as_numpy("score").tolist() == [0.7, 0.1], answer.get_response()
        if outputs is None:
            assert answer.as_numpy("decision").tolist() == [True, False]
        found[answer.get_response()["parameters"]["prediction_id"]] = binary
assert client.infer("delay", inputs(True, [np.nan, 2.0])).as_numpy("score").tolist() == [0.7, 0.1]
packed = client.infer("delay", inputs(True, [1.0, 2.0]), response_compression_algorithm="gzip")
assert packed.as_numpy("score").tolist() == [0.7, 0.1]
for name, version in (("nobody", ""), ("delay", "7")):
    try:
        client.infer(name, inputs(True, [1.0, 2.0]), model_version=version)
        raise SystemExit("it was answered")
    except InferenceServerException as error:
        assert "no model" in str(error) or "not live" in str(error), error
try:
    client.infer("delay", inputs(False, [1.0, 2.0])[1:])
    raise SystemExit("it was answered")
except InferenceServerException as error:
    assert "'origin' is absent" in str(error), error
print(json.dumps(sorted(found)))
"""
MLFLOW = """
import json, sys
from mlflow.deployments import get_deploy_client
client = get_deploy_client(sys.argv[1])
split = {"columns": ["origin", "wind"], "data": [["EWR", 1.0], ["LGA", None]]}
answer = client.predict(endpoint="delay", inputs={"dataframe_split": split})
print(json.dumps(answer["predictions"]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    home = make_home(folder)
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    with Server(folder) as running:
        yield running
    home.close()


def environment(name: str, *packages: str) -> str:
    """Return the Python of an environment that holds a client, made once for this machine."""
    folder = CACHE / name
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        command = [folder / "bin/python", "-m", "pip", "install", "-q", *packages]
        subprocess.run(command, check=True)
        (folder / "ready").touch()
    return str(folder / "bin/python")


def say(python: str, program: str, address: str):
    done = subprocess.run(
        [python, "-c", program, address], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_triton_client_asks_in_json_and_in_bytes(server):
    python = environment("tritonclient-2.73.0", "tritonclient[http]==2.73.0")
    ids = say(python, TRITON, f"127.0.0.1:{server.port}")
    assert len(ids) == 4


def test_the_deployment_client_of_mlflow_asks_an_endpoint(server):
    python = environment("serving-mlflow-3.17.2", "mlflow==3.17.2", "scikit-learn==1.9.1")
    assert say(python, MLFLOW, f"http://127.0.0.1:{server.port}") == [0.7, 0.3]


def test_other_spellings_of_mlflow_and_kserve_are_answered(server):
    row = {"origin": "EWR", "wind": 1.0}
    assert server.ask(f"/v1/models/{MODEL}:predict", {"instances": [row]})[1] == {
        "predictions": [0.7]
    }
    csv = b"origin,wind\nEWR,1.5\nLGA,\n"
    assert server.ask("/invocations", raw=csv, Content_Type="text/csv")[1] == {
        "predictions": [0.7, 0.3]
    }
