"""Log lines as JSON objects on standard error, one a request; they hold no token and no body."""

import asyncio
import logging
import sys
import traceback
from functools import lru_cache
from typing import Any

import msgspec

from thrive.domain.clock import format_time

FIELDS = ("id", "method", "route", "status", "ms", "actor", "address")
REQUESTS = "requests"
"""Of a record: the fields of each request that it tells of."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; a traceback is one of its fields.

    A record with `REQUESTS` is one object for each of them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines."""
        line = {
            "at": _second(int(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = vars(record)
        if REQUESTS in known:
            lines = [msgspec.json.encode(line | fields) for fields in known[REQUESTS]]
            return b"\n".join(lines).decode()
        line |= {name: known[name] for name in FIELDS if name in known}
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line).decode()


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return format_time(seconds * 1_000_000)


class RequestLog:
    """Writes the lines of answered requests: those of one turn of the event loop together.

    Args:
        logger: under whose name.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._waiting: list[dict[str, Any]] = []

    def note(self, fields: dict[str, Any]) -> None:
        """Write a line with some of `FIELDS` before the loop waits for anything again."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(fields)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        known = {"name": self._logger.name, "levelno": logging.INFO, "levelname": "INFO"}
        record = logging.makeLogRecord({**known, "msg": "request", REQUESTS: waiting})
        self._logger.handle(record)  # it does not look for who calls, which takes long


def start_logging(level: str) -> None:
    """Send every log line of this process to standard error as JSON, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
