"""Executes a notebook from top to bottom in this interpreter, by IPython, and keeps what it shows.

The shell keeps no history, reads no profile of the user, and writes nowhere but into the run.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from thrive.domain.errors import UsageError
from thrive.engines.channel import Channel
from thrive.engines.failures import Failure, describe
from thrive.training import cells
from thrive.training.tracked import named_words

try:
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.inputtransformer2 import TransformerManager
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type
    from traitlets.config import Config
except ImportError:
    raise UsageError("A notebook needs IPython.", "pip install 'thrive[notebooks]'") from None

INLINE_FIGURES = "module://matplotlib_inline.backend_inline"
_BINARY_AS_TEXT = ("image/", "application/pdf")
MOST_NAMED = 5


class CellError(Exception):
    """A cell failed; `thrive_failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.thrive_failure = failure


class _Outputs:
    """What the present cell has shown so far, in the form of the file."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []

    def stream(self, name: str, text: str) -> None:
        last = self.shown[-1] if self.shown else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += text
        else:
            self.shown.append({"output_type": "stream", "name": name, "text": text})

    def rich(self, kind: str, data: dict[str, Any], metadata: Any, **more: Any) -> None:
        plain = {form: _as_text(form, value) for form, value in data.items()}
        shown = {"output_type": kind, "data": plain, "metadata": metadata or {}, **more}
        self.shown.append(shown)


def _as_text(form: str, value: Any) -> Any:
    if isinstance(value, bytes) and form.startswith(_BINARY_AS_TEXT):
        import base64

        return base64.b64encode(value).decode()
    return value


_outputs = _Outputs()


class _Tee:
    """A standard stream that the notebook keeps as well; a terminal sees it at once."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name = name
        self._stream = stream

    def write(self, text: str) -> int:
        if text:
            _outputs.stream(self._name, text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Publisher(DisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, *_: Any, **_more: Any) -> None:
        """Keep what `display` shows."""
        _outputs.rich("display_data", data, metadata)

    def clear_output(self, wait: bool = False) -> None:
        """Forget what the cell has shown; `wait` makes no difference to a file."""
        del wait
        _outputs.shown.clear()


class _Hook(DisplayHook):
    def write_output_prompt(self) -> None:
        """Show no prompt."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """Keep the value of a cell's last expression."""
        count = self.shell.execution_count if self.shell else None
        _outputs.rich("execute_result", format_dict, md_dict, execution_count=count)
        if text := format_dict.get("text/plain"):
            cast("Any", sys.__stdout__).write(f"{text}\n")


class _Shell(InteractiveShell):
    display_pub_class = Type(_Publisher)
    displayhook_class = Type(_Hook)

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        """Keep a traceback as the file has it, and show it in the log."""
        error = {"output_type": "error", "ename": etype.__name__, "evalue": str(evalue)}
        _outputs.shown.append({**error, "traceback": list(stb)})
        cast("Any", sys.__stdout__).write("\n".join(stb) + "\n")

    def enable_gui(self, gui: Any = None) -> None:
        """Enable none: there is no screen."""


def execute(link: Channel, file: Path, words: list[str]) -> None:
    """Execute a notebook; each cell is told as it begins and ends, the book when it is over.

    Args:
        link: the run.
        file: the notebook; cells run in its folder.
        words: values for its parameters, as typed.

    Raises:
        UsageError: it is no notebook, or takes no parameters.
        CellError: a cell failed.
    """
    book = cells.read_notebook(file)
    cells.give_parameters(book, named_words(words))
    if cells.out_of_order(book):
        link.send("note", text="its saved outputs come from another order than top to bottom")
    os.chdir(file.parent)
    shell = _new_shell(link)
    try:
        _execute_cells(link, shell, book)
    finally:
        data = json.dumps(book, indent=1, ensure_ascii=False, default=str) + "\n"
        link.send("file", name=file.name, form="notebook", data=data.encode())


def _new_shell(link: Channel) -> Any:
    os.environ.setdefault("MPLBACKEND", INLINE_FIGURES)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    place = Path(link.facts["scratch"]) / "ipython"
    place.mkdir(parents=True, exist_ok=True)
    shell = _Shell.instance(config=config, ipython_dir=str(place))
    sys.stdout, sys.stderr = _Tee("stdout", sys.stdout), _Tee("stderr", sys.stderr)
    return shell


def _execute_cells(link: Channel, shell: Any, book: dict[str, Any]) -> None:
    found = cells.code_cells(book)
    for number, cell in zip(cells.cell_numbers(found), found, strict=True):
        source = cells.source_of(cell)
        if not source.strip() or cells.SKIPPED_TAG in cells.tags_of(cell):
            continue
        link.send("cell", number=number, source=source)
        _outputs.shown = []
        result = shell.run_cell(source, store_history=True)
        cell["outputs"], cell["execution_count"] = _outputs.shown, shell.execution_count - 1
        error = result.error_before_exec or result.error_in_exec
        failure = None if error is None else _described(error, number, cell, found)
        told = None if failure is None else msgspec.to_builtins(failure)
        link.send("cell_done", number=number, outputs=_kept(_outputs.shown), failure=told)
        if failure is not None and cells.MAY_FAIL_TAG not in cells.tags_of(cell):
            raise CellError(failure)


def _kept(shown: list[dict[str, Any]]) -> bytes:
    """Return outputs as bytes that are the same when the same was shown."""
    alike = [{k: v for k, v in each.items() if k != "execution_count"} for each in shown]
    return json.dumps(alike, sort_keys=True, default=str).encode()


def _described(
    error: BaseException, number: int, cell: dict[str, Any], found: list[dict[str, Any]]
) -> Failure:
    """Return an error with the line of its cell, and with what a clean run could not find."""
    failure = describe(error, task=f"cell {number}")
    line = _line_of(error)
    source = cells.source_of(cell).splitlines()
    shown = source[line - 1].strip() if 0 < line <= len(source) else ""
    frames = [f"  cell {number}, line {line}: {shown}"] if shown else []
    return msgspec.structs.replace(
        failure,
        hint=_not_found(error, found) or failure.hint,
        place=f"cell {number}:{line}",
        frames=[*frames, *(frame for frame in failure.frames if ".py:" in frame)],
    )


def _line_of(error: BaseException) -> int:
    """Return the line of the cell in which an error came up, 0 if it is not known."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    line, trace = 0, error.__traceback__
    while trace is not None:
        if "<module>" in trace.tb_frame.f_code.co_qualname and _is_cell(trace):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _is_cell(trace: Any) -> bool:
    return "ipython-input" in trace.tb_frame.f_code.co_filename


def _not_found(error: BaseException, found: list[dict[str, Any]]) -> str:
    """Return in words what a run from top to bottom could not find, "" if it lacked nothing."""
    if isinstance(error, NameError):
        plain = TransformerManager().transform_cell
        missing = cells.missing_names(map(cells.source_of, found), plain, certain=error.name)
        numbers = [0, *cells.cell_numbers(found)]
        named = [
            msgspec.structs.replace(
                each, cell=numbers[each.cell], later=numbers[each.later]
            ).words()
            for each in missing[:MOST_NAMED]
        ]
        more = [f"and {len(missing) - MOST_NAMED} more"] if len(missing) > MOST_NAMED else []
        return "; ".join([*named, *more])
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"module {error.name!r} is not installed in this environment"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"there is no {os.fsdecode(error.filename)} in {Path.cwd()}"
    return ""
