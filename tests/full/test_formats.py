"""Each format of another library, with that library: packed, loaded elsewhere, the same answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

PLACE = Path("~/.cache/thrive-bench/formats").expanduser()
LIBRARIES = ("lightgbm", "xgboost-cpu", "catboost", "onnx", "onnxruntime", "skl2onnx", "ml_dtypes")
SCRIPT = Path(__file__).with_name("format_round_trips.py")


@pytest.fixture(scope="module")
def libraries():
    """Return a folder with the libraries, apart from the ones the tests are run with."""
    if not PLACE.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", PLACE]
        subprocess.run([*command, *LIBRARIES, "protobuf", "flatbuffers", "graphviz"], check=True)
    return PLACE


@pytest.mark.parametrize("kind", ["two", "three", "number"])
@pytest.mark.parametrize("case", ["lightgbm", "xgboost", "catboost", "safetensors", "onnx"])
def test_a_model_answers_the_same_from_its_package(libraries, tmp_path, case, kind):
    for action in ("pack", "answer", "refuse"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", SCRIPT, action, case, kind, tmp_path],
            env={**os.environ, "PYTHONPATH": str(libraries), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{action}: {done.stderr[-3000:]}"
