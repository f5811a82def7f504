"""Keys of metrics, parameters and tags: which ones are taken."""

import functools
import posixpath
import re

from thrive.server.mlflow.problems import invalid

LONGEST_KEY = 250
_NAME = re.compile(r"[/\w.\- :]*")


@functools.lru_cache(4096)
def checked_key(key: str, noun: str) -> str:
    """Return the key of a metric, a parameter or a tag.

    Raises:
        MlflowError: it holds other characters, or would be another name if it were a path.
    """
    if not _NAME.fullmatch(key):
        raise invalid(
            f"Invalid {noun} name: '{key}'. Names may only contain alphanumerics, underscores (_), "
            "dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )
    plain = posixpath.normpath(key)
    if key != plain or key in {".", ".."} or key.startswith(("/", "../")):
        raise invalid(
            f"Invalid {noun} name: '{key}'. Names may be treated as files in certain cases, and "
            f"must not resolve to other names when treated as such: this one is '{plain}'."
        )
    return key
