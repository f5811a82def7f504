"""Where a project is on this machine: its folder, and the folder of its home in it."""

from pathlib import Path

from thrive.domain.errors import NotFound

FOLDER = ".thrive"
HOME_RECORD = "home.json"
"""Says of a home's folder which project it is of, and where its stores are."""
HOME_FORMAT = 1
"""The newest form of that record."""
DATABASE = "thrive.db"
"""The database of an embedded home."""
LOCK = "lock"
"""What every process takes that writes to it."""


def find_project_folder(start: Path) -> Path:
    """Return the nearest folder upwards from `start` that holds a `thrive.toml`.

    Raises:
        NotFound: there is none up to the root.
    """
    for folder in (start, *start.parents):
        if (folder / "thrive.toml").is_file():
            return folder
    raise NotFound(f"There is no thrive.toml in {start} or above it.", "thrive init")


def made(folder: Path) -> Path:
    """Return `folder`, created for this user alone if it was missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
