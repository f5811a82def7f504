"""The secret keys of this home, each a file that its owner alone may read."""

import os
from pathlib import Path

from thrive.domain.errors import UsageError
from thrive.settings import read_settings
from thrive.variables import variable

KEY_FILE = "signing.key"
KEY_BYTES = 32


def signing_key(folder: Path) -> bytes:
    """Return the key that records are signed with: the setting `signing_key`, else a home's file.

    Raises:
        UsageError: the setting is no key.
    """
    said = read_settings().signing_key
    return read_key(said, "signing_key") if said else secret_key(folder, KEY_FILE)


def read_key(said: str, setting: str) -> bytes:
    """Return the key that a setting holds.

    Raises:
        UsageError: it holds none; what it holds is not repeated.
    """
    try:
        key = bytes.fromhex(said)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"{variable(setting)} is no key.", f"give {2 * KEY_BYTES} hexadecimal digits"
        )
    return key


def secret_key(folder: Path, name: str) -> bytes:
    """Return a secret key of a home's folder on this machine; made when it is first needed.

    Of two processes that need it at once, both get the key of the first.

    Args:
        folder: the home's folder.
        name: of the file.
    """
    return keep_key(folder, name, os.urandom(KEY_BYTES))


def keep_key(folder: Path, name: str, key: bytes) -> bytes:
    """Keep a key in a home's folder unless there is one of that name; return the one that is there.

    Args:
        folder: the home's folder.
        name: of the file.
        key: the key.
    """
    path = folder / name
    if not path.exists():
        draft = folder / f"{name}.{os.getpid()}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.hex())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return bytes.fromhex(path.read_text())
