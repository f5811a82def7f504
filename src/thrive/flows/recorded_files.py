"""Files that a run read by their path, beside its code: brought to where it is executed again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from thrive.domain.errors import NotFound, ThriveError
from thrive.domain.run import StepRecord, Use
from thrive.flows.tracked import FILE
from thrive.operations import Context
from thrive.training.digests import file_digest


def files_read(steps: Sequence[StepRecord], used: Sequence[Use] = ()) -> dict[str, str]:
    """Return the digests of the files that steps declare, or that a script read by path."""
    found = {use.name: use.digest for use in used if use.kind == FILE and use.direction == "in"}
    for step in steps:
        found.update((step.inputs or {}).get("files", {}))
    return {name: digest for name, digest in found.items() if digest}


def bring_files(ctx: Context, folder: Path, read: dict[str, str]) -> None:
    """Lay the files that a run had read where it looks for them, from where they still are.

    Args:
        ctx: the context of the operation; its folder may still hold them.
        folder: where the run's code was unpacked; what is there already stays.
        read: name -> digest.

    Raises:
        NotFound: one is gone or is another one now.
    """
    for name, digest in read.items():
        target = (folder / name).resolve()
        if target.exists() or not target.is_relative_to(folder.resolve()):
            continue
        source = _kept_file(ctx, digest) or ctx.local_folder() / name
        if not source.is_file() or file_digest(source) != digest:
            raise NotFound(
                f"{name}, which the run read, is not what it was.",
                f"thrive data add {name} keeps versions of a file",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _kept_file(ctx: Context, digest: str) -> Path | None:
    """Return the copy of a file in this home, None if there is none."""
    try:
        ctx.home.blobs.fetch(digest)
        return ctx.home.blobs.local_path(digest)
    except ThriveError:
        return None
