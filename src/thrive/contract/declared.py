"""What a contract declares of data, read without judging it: for those who must begin at once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTRACT_FILE = "thrive.toml"


def declared_data(folder: Path) -> Mapping[str, Any]:
    """Return the contract's tables of data; `thrive check` says what is wrong with a contract."""
    try:
        with (folder / CONTRACT_FILE).open("rb") as file:
            return tomllib.load(file).get("data", {})
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return {}
