"""The real Presidio on free text, in an environment of its own, with the network taken away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import thrive

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

PINS = ("presidio-analyzer==2.2.366",)
PLACE = Path.home() / ".cache" / "thrive-bench" / "presidio"
PADDING = "and then the desk wrote down what was said about the parcel, as it does each time"
NOTES = {
    "card": "paid with 4111 1111 1111 1111 on Monday",
    "national-id": "her social security number is 219-09-9999",
    "ip": "the order came from 203.0.113.9 at night",
    "none": "nobody was at home in the afternoon",
    "names": "a message from Ada Lovelace was left",
}
ALONE = """\
import socket, sys
def refuse(*words, **more):
    raise AssertionError(f"asked the network for {words[:1]}")
socket.getaddrinfo = socket.socket.connect = refuse
from thrive.cli.main import main
main()
"""
MODEL = """\
import spacy, sys
model = spacy.blank("en")
ruler = model.add_pipe("entity_ruler")
ruler.add_patterns([{"label": "PERSON", "pattern": [{"LOWER": "ada"}, {"LOWER": "lovelace"}]}])
model.to_disk(sys.argv[1])
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """Return a Python that has Presidio, and behind it all that stands here."""
    program = PLACE / "bin" / "python"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run([program, "-m", "pip", "install", "-q", *PINS], check=True)
    return program


@pytest.fixture
def project(python: Path, tmp_path: Path):
    def run(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        here = [str(Path(thrive.__file__).parents[1]), str(Path(msgspec.__file__).parents[1])]
        script = f"import sys; sys.path += {here!r}\n{code}"
        return subprocess.run(
            [python, "-c", script, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": "", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    lines = [
        ",".join([str(n), *(f'"{text} {PADDING}"' for text in NOTES.values())]) for n in range(300)
    ]
    (tmp_path / "notes.csv").write_text("\n".join([",".join(["id", *NOTES]), *lines, ""]))
    assert run(ALONE, "init").returncode == 0
    return run


def proposals(run, **variables: str) -> dict[str, str]:
    added = run(ALONE, "--json", "data", "add", "notes.csv", "--name", "notes", **variables)
    assert added.returncode == 0, added.stderr + added.stdout
    shown = json.loads(run(ALONE, "--json", "data", "show", "notes").stdout)
    hidden = [each for each in shown["columns"] if each["proposed"]]
    assert hidden
    assert not any(text in json.dumps(hidden) for text in NOTES.values())
    return {each["name"]: each["proposed"] for each in shown["columns"]}


def test_patterns_alone_find_what_has_a_form(project) -> None:
    found = proposals(project)
    assert found == {
        "id": "",
        "card": "card",
        "national-id": "national-id",
        "ip": "ip",
        "none": "",
        "names": "",
    }


def test_a_language_model_of_ones_own_finds_names(project, tmp_path) -> None:
    assert project(MODEL, str(tmp_path / "model")).returncode == 0
    found = proposals(project, THRIVE_TEXT_MODEL=str(tmp_path / "model"))
    assert found["names"] == "name"
    assert found["none"] == ""


def test_a_model_that_is_not_installed_is_named_and_never_fetched(project) -> None:
    refused = project(
        ALONE, "data", "add", "notes.csv", "--name", "notes", THRIVE_TEXT_MODEL="xx_none"
    )
    assert refused.returncode == 2
    assert "'xx_none' of THRIVE_TEXT_MODEL is not installed" in refused.stderr
