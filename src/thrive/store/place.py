"""Where a project is on this machine: its folder, and the folder of its home in it."""

from pathlib import Path

from thrive.domain.errors import NotFound

FOLDER = ".thrive"
HOME_RECORD = "home.json"
"""Says of a home's folder which project it is of, and where its stores are."""


def find_project_folder(start: Path) -> Path:
    """Return the nearest folder upwards from `start` that holds a `thrive.toml`.

    Raises:
        NotFound: there is none up to the root.
    """
    for folder in (start, *start.parents):
        if (folder / "thrive.toml").is_file():
            return folder
    raise NotFound(f"There is no thrive.toml in {start} or above it.", "thrive init")
