"""What can be done with feature views where no data is needed."""

from pathlib import Path

from thrive.domain.actor import AUTHORS
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.features.discover import FILE
from thrive.features.feast import Mapped, translate
from thrive.operations import Context, Kind, operation

MOST_FILES = 1_000


@operation("features import", kind=Kind.CLIENT, role=AUTHORS, next_hint="thrive features plan")
def import_feast(ctx: Context, repository: str, *, to: str = FILE) -> list[Mapped]:
    """Write the definitions of a Feast repository as feature views, and say what does not map.

    Its files are read and never run.

    Args:
        repository: the folder with the definitions.
        to: the file to write, in the project's folder.

    Raises:
        NotFound: the folder holds no Python file.
        Conflict: the file to write is there already.
        UsageError: a file is no Python.

    Examples:
        thrive features import ../feast/feature_repo
    """
    folder = Path(repository).expanduser()
    paths = sorted(folder.rglob("*.py"))[:MOST_FILES] if folder.is_dir() else []
    if not paths:
        raise NotFound(
            f"{repository} holds no Python file.", "name the folder of feature_store.yaml"
        )
    target = ctx.local_folder() / Path(to).name
    if target.exists():
        raise Conflict(f"{target.name} is there already.", "--to features_of_feast.py")
    try:
        made = translate({str(path): path.read_text() for path in paths})
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{repository}: {error}.", "mend it, or move it away") from None
    if not made.mapped:
        raise NotFound(
            f"{repository} defines no feature view.", "name the folder of its definitions"
        )
    target.write_text(made.text)
    return made.mapped
