"""What a run of a script or a notebook tells of itself: cells, files it touched, what it shows."""

from collections.abc import Callable
from typing import Any

import msgspec
from blake3 import blake3

from thrive.domain.run import RunState, StepRecord, Use
from thrive.engines.failures import Failure
from thrive.engines.local import Message
from thrive.tracking.recorder import RunRecorder

OUTPUTS = "outputs"
"""The kind of a cell's result: what it shows."""
FILE = "file"
TOUCHED = "touched"
"""The key of a run's environment that says what it touched outside of the project's files."""


class Tracked:
    """Records what a program without steps does.

    Args:
        recorder: that of the run.
        say: gets lines for people.
    """

    def __init__(self, recorder: RunRecorder, say: Callable[[str], None]) -> None:
        self._recorder = recorder
        self._say = say
        self._cell: StepRecord | None = None
        self.notes: list[str] = []
        self.handlers: dict[str, Callable[[Message], Any]] = {
            "cell": self._on_cell,
            "cell_done": self._on_cell_done,
            "file": self._on_file,
            "note": self._on_note,
            "touched": self._on_touched,
        }

    def _on_cell(self, message: Message) -> None:
        """Write that a cell of a notebook begins."""
        source = message.body["source"]
        self._cell = self._recorder.begin_step(
            f"cell {message.body['number']}",
            self._recorder.run.seed,
            code=blake3(source.encode()).hexdigest(),
            inputs={"source": source},
        )

    def _on_cell_done(self, message: Message) -> None:
        """Write how a cell ended, and the digest of what it shows: the notebook holds it."""
        assert self._cell is not None
        outputs: bytes = message.body["outputs"]
        told = message.body["failure"]
        failure = None if told is None else msgspec.convert(told, Failure)
        digest = blake3(outputs).hexdigest()
        ended = self._recorder.end_step(
            self._cell,
            RunState.DONE if failure is None else RunState.FAILED,
            result={"kind": OUTPUTS, "digest": digest, "size": len(outputs)},
            error="" if failure is None else failure.report(),
        )
        seconds = ((ended.ended_at or ended.started_at) - ended.started_at) / 1e6
        self._say(f"{ended.name:<10} {ended.state.value:<7} {seconds:8.2f} s")

    def _on_file(self, message: Message) -> None:
        """Keep bytes as an artifact of the run."""
        body = message.body
        self._recorder.keep(body["name"], body["form"], body["data"])

    def _on_note(self, message: Message) -> None:
        self._note(message.body["text"])

    def _note(self, text: str) -> None:
        """Keep a note for the end, and say it now: the end may be a failure."""
        self.notes.append(text)
        self._say(f"note: {text}")

    def _on_touched(self, message: Message) -> None:
        """Write which files were read and written, and what else was touched."""
        body = message.body
        for direction, files in (("in", body["read"]), ("out", body["written"])):
            for name, digest in files.items():
                self._recorder.use(Use(kind=FILE, name=name, digest=digest, direction=direction))
        if body["other"]:
            self._note(f"it touched {_listed(body['other'])}, which the record does not hold")
        self._recorder.amend(threads=body["threads"], **{TOUCHED: body["other"]})


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
