"""The tutorial, typed from its first to its last command."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.servers import free_ports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial/first-model.md"
NEWEST_ALERT = (
    "$(thrive alerts list --json | "
    "python -c 'import json, sys; print(json.load(sys.stdin)[0][\"alert_id\"])')"
)
ANSWERS = "until curl -sf http://127.0.0.1:{port}/ping; do sleep 0.2; done"


def script(port: int) -> str:
    """Return the commands of the page, on a free port, with the ids a reader would put in."""
    text = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    changes = {
        "make install\n. .venv/bin/activate\n": "",
        "examples/flights": str(ROOT / "examples/flights"),
        "01928374": NEWEST_ALERT,
        "--singles 1000": f"--singles 50 --url http://127.0.0.1:{port}",
        "thrive serve > serve.log 2>&1 &": (
            f"thrive serve --port {port} > serve.log 2>&1 &\n{ANSWERS.format(port=port)}"
        ),
        "thrive ui\n": "",
    }
    for told, typed in changes.items():
        assert told in text, f"the tutorial does not say {told!r} any more"
        text = text.replace(told, typed)
    return text


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_the_tutorial_works_as_typed(tmp_path):
    names = {f"GIT_{who}_NAME": "Reader" for who in ("AUTHOR", "COMMITTER")}
    mails = {f"GIT_{who}_EMAIL": "reader@example.org" for who in ("AUTHOR", "COMMITTER")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-ec", script(free_ports(1)[0])],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, **names, **mails},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(1400)
        finally:
            with suppress(ProcessLookupError):  # nothing is left in the background
                os.killpg(process.pid, signal.SIGTERM)
    text = said.read_text()
    assert code == 0, text[-3000:]
    assert "\tperformance\t" in text
    assert "flight-delay\t2\tv" in text
    # Which version is live by then depends on the alerts that its data led to.
    assert list((tmp_path / "flights-story/card").glob("flight-delay@*.md"))
