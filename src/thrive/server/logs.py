"""Log lines as JSON objects on standard error, one a request; they hold no token and no body."""

import json
import logging
import sys
import traceback

from thrive.domain.clock import format_time

FIELDS = ("id", "method", "route", "status", "ms", "actor", "address")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; a traceback is one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": format_time(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def start_logging(level: str) -> None:
    """Send every log line of this process to standard error as JSON, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
