"""Log lines as JSON objects on standard error, one a request; they hold no token and no body."""

import logging
import sys
import traceback
from functools import lru_cache
from typing import Any

import msgspec

from thrive.domain.clock import format_time

FIELDS = ("id", "method", "route", "status", "ms", "actor", "address")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; a traceback is one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": _second(int(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = vars(record)
        line |= {name: known[name] for name in FIELDS if name in known}
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line).decode()


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return format_time(seconds * 1_000_000)


def log_request(logger: logging.Logger, fields: dict[str, Any]) -> None:
    """Write the line of an answered request; it does not look for who calls, which takes long.

    Args:
        logger: under whose name.
        fields: some of `FIELDS`.
    """
    if logger.isEnabledFor(logging.INFO):
        known = {"name": logger.name, "levelno": logging.INFO, "levelname": "INFO"}
        logger.handle(logging.makeLogRecord({**known, "msg": "request", **fields}))


def start_logging(level: str) -> None:
    """Send every log line of this process to standard error as JSON, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
