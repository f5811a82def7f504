"""The Grafana dashboard, read by Grafana's own types and by a parser of PromQL."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

DASHBOARD = Path(__file__).parents[2] / "examples" / "deploy" / "grafana-thrive.json"
PLACE = Path.home() / ".cache" / "thrive-bench" / "grafana"
READERS = ("grafana-foundation-sdk==1769699998!10.1.0", "promql-parser==0.11.0")
READ = """
import json, sys
import promql_parser
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

def lost(given, kept, place=""):
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{place}/{key}"
            else:
                yield from lost(value, kept[key], f"{place}/{key}")
    elif isinstance(given, list):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif given != kept:
        yield place

given = json.load(open(sys.argv[1]))
kept = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
asked = [target["expr"] for panel in given["panels"] for target in panel["targets"]]
for expression in asked:
    promql_parser.parse(expression)
print(json.dumps({"lost": list(lost(given, kept)), "asked": len(asked)}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """Return the Python of an environment with the readers, made if there is none."""
    found = PLACE / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE], check=True)
        subprocess.run([found, "-m", "pip", "install", "-q", *READERS], check=True)
    return found


def test_grafana_reads_the_whole_dashboard_and_prometheus_every_question(python: Path) -> None:
    done = subprocess.run(
        [python, "-c", READ, DASHBOARD], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"lost": [], "asked": 10}\n'
