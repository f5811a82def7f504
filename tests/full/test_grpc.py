"""The Open Inference Protocol over gRPC, asked by Triton's own client on a real server."""

import subprocess
import sys

import pytest
from tests.full.test_serving_clients import environment, say
from tests.servers import free_ports
from tests.serving_home import Server, add_version, constant_package, live, make_home, route

from thrive.serving.callers import SHORTEST
from thrive.store.prediction_frames import predictions_between

pytestmark = pytest.mark.full

TOKEN = "t" * SHORTEST
CLIENT = """
import json, queue, sys
import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException
address, token = sys.argv[1].split(",")
client = triton.InferenceServerClient(address)
key = {"authorization": "Bearer " + token}
assert client.is_server_live() and client.is_server_ready()
try:
    client.is_model_ready("delay")
    raise SystemExit("nobody asked for the token")
except InferenceServerException as error:
    assert "UNAUTHENTICATED" in str(error), error
assert client.is_model_ready("delay", headers=key) and client.is_model_ready("delay", "1", headers=key)
assert client.get_server_metadata(headers=key).name == "thrive"
meta = client.get_model_metadata("delay", headers=key)
assert [(each.name, each.datatype) for each in meta.inputs] == [
    ("origin", "BYTES"), ("wind", "FP64"), ("flight_id", "BYTES")], meta
assert client.get_model_repository_index(headers=key).models[0].state == "READY"
def inputs(winds, origins=("EWR", "JFK")):
    origin = triton.InferInput("origin", [2], "BYTES")
    origin.set_data_from_numpy(np.array(origins, dtype=object))
    wind = triton.InferInput("wind", [2, 1], "FP64")
    wind.set_data_from_numpy(np.array(winds).reshape(2, 1))
    return [origin, wind]
answer = client.infer("delay", inputs([1.0, np.nan]), request_id="r1", headers=key)
assert answer.as_numpy("score").tolist() == [0.7, 0.1], answer.get_response()
assert answer.as_numpy("decision").tolist() == [True, False]
assert answer.get_response().id == "r1"
ids = [answer.get_response().parameters["prediction_id"].string_param]
only = client.infer("delay", inputs([1.0, 2.0]), outputs=[triton.InferRequestedOutput("score")],
                    headers={**key, "logged": "sync"})
assert only.as_numpy("decision") is None
ids.append(only.get_response().parameters["prediction_id"].string_param)
for wrong, words in (
    (dict(model_name="nobody", inputs=inputs([1.0, 2.0])), "NOT_FOUND"),
    (dict(model_name="delay", inputs=inputs([1.0, 2.0]), model_version="7"), "NOT_FOUND"),
    (dict(model_name="delay", inputs=inputs([1.0, 2.0])[1:]), "'origin' is absent"),
):
    try:
        client.infer(**wrong, headers=key)
        raise SystemExit(f"it was answered: {words}")
    except InferenceServerException as error:
        assert words in str(error), error
answers = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)), headers=key)
client.async_stream_infer("delay", inputs([1.0, 2.0]))
client.async_stream_infer("delay", inputs([1.0, 2.0])[1:])
client.async_stream_infer("delay", inputs([1.0, 2.0]))
found = [answers.get(timeout=60) for _ in range(3)]
assert [error is None for _, error in found] == [True, False, True], found
ids += [r.get_response().parameters["prediction_id"].string_param for r, e in found if r]
client.stop_stream()
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address))
request = service_pb2.ModelInferRequest(model_name="delay")
request.inputs.add(name="origin", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"EWR")
request.inputs.add(name="wind", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.5)
plain = stub.ModelInfer(request, metadata=[("authorization", "Bearer " + token)])
assert np.frombuffer(plain.raw_output_contents[0]).tolist() == [0.7]
ids.append(plain.parameters["prediction_id"].string_param)
print(json.dumps(ids))
"""


class GrpcServer(Server):
    """A running `thrive serve` that answers gRPC too, from two workers, with tokens."""

    def _command(self, workers: int) -> list[str]:
        (self.folder / "callers").write_text(f"{TOKEN}\n")
        (self.grpc_port,) = free_ports(1)
        words = ["serve", "--port", "0", "--workers", str(workers), "--callers", "callers"]
        return [sys.executable, "-m", "thrive", *words, "--grpc-port", str(self.grpc_port)]


def test_the_triton_client_asks_over_grpc(tmp_path):
    python = environment("tritonclient-grpc-2.73.0", "tritonclient[grpc]==2.73.0")
    home = make_home(tmp_path)
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    with GrpcServer(tmp_path, workers=2) as server:
        ids = say(python, CLIENT, f"127.0.0.1:{server.grpc_port},{TOKEN}")
    assert len(set(ids)) == 5
    logged = predictions_between(home, 0, 1 << 53, "delay")["prediction_id"].to_list()
    assert set(ids) <= set(logged)
    home.close()


def test_without_the_extra_it_says_what_to_install(tmp_path):
    make_home(tmp_path).close()
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    hidden = "import sys; sys.modules['grpc'] = None\nfrom thrive.cli.main import main; main()"
    command = [sys.executable, "-c", hidden, "serve", "--grpc-port", "1234", "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "thrive[grpc]"' in done.stderr
