"""The environment variables that set Thrive, and those that no model may see.

It imports nothing: a command that starts another process at once asks it first.
"""

from collections.abc import Mapping

_PREFIX = "THRIVE_"
ONLINE_STORE = "THRIVE_ONLINE_STORE"
_SECRETS = frozenset(
    {
        ONLINE_STORE,
        "THRIVE_CHANNELS",
        "THRIVE_CONNECTIONS",
        "THRIVE_PSEUDONYM_KEY",
        "THRIVE_SIGNING_KEY",
        "THRIVE_SMTP_URL",
    }
)
"""Settings that are keys, or addresses that may hold one."""
_SECRET_WORDS = (
    "ACCESS_KEY",
    "API_KEY",
    "CREDENTIAL",
    "PASSWORD",
    "PASSWD",
    "PRIVATE_KEY",
    "SECRET",
    "TOKEN",
)
"""What the name of a secret of anybody says: `PGPASSWORD`, `AWS_SECRET_ACCESS_KEY`, `GH_TOKEN`."""


def variable(setting: str) -> str:
    """Return the environment variable of a setting: `smtp_url` is read from `THRIVE_SMTP_URL`."""
    return _PREFIX + setting.upper()


def without_secrets(
    environment: Mapping[str, str], but: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return an environment for a process that runs a model: without keys and passwords.

    Args:
        environment: of this process.
        but: secrets that it needs for its work.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in but or not (_names_secret(name) or _holds_password(value))
    }


def _names_secret(name: str) -> bool:
    return name in _SECRETS or any(word in name.upper() for word in _SECRET_WORDS)


def _holds_password(value: str) -> bool:
    """Tell whether a value is an address with a user and a password: `scheme://user:word@host`."""
    _, scheme, rest = value.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    return bool(scheme and at and ":" in user)
