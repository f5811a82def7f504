"""Tags: names that people give versions, so that `flights@spring` says what it means."""

import msgspec

from thrive.data.reading import find_version
from thrive.domain.actor import CURATORS
from thrive.domain.dataset import DatasetTag
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.domain.identifiers import checked_name
from thrive.operations import Context, operation
from thrive.store import datasets


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """The version a tag names now, 0 if none, and the one it named before, 0 if none."""

    dataset: str
    tag: str
    version: int
    before: int


@operation("data tag", role=CURATORS, writes=True, next_hint="thrive data log {dataset}")
def tag(
    ctx: Context, name: str, called: str, *, move: bool = False, remove: bool = False
) -> Tagged:
    """Give a version a name: NAME@TAG means that version from then on, in commands and in code.

    Args:
        name: the version, as NAME@VERSION.
        called: the tag: lower-case letters, digits, dots and dashes, with a letter among them.
        move: let the tag name this version instead of another one.
        remove: take the tag away.

    Raises:
        NotFound: there is no such version, or no such tag to remove.
        Conflict: the tag names another version.
        UsageError: the tag would read as a number of a version.

    Examples:
        thrive data tag flights@3 spring
        thrive data tag flights@4 spring --move
        thrive data tag flights@4 spring --remove
    """
    if called.removeprefix("v").isdecimal():
        raise UsageError(f"{called!r} would read as a version.", f"thrive data tag {name} spring")
    checked_name(called, "tag")
    version = find_version(ctx, name)
    label = f"{version.dataset}@{version.version}"
    words = {"tag": called, "version": 0 if remove else version.version}
    with ctx.write(f"dataset:{version.dataset}", **words) as tx:
        known = datasets.find_tags(tx, ctx.project_id, version.dataset)
        before = next((each.version for each in known if each.tag == called), 0)
        if remove:
            if before != version.version:
                raise NotFound(f"{label} has no tag {called!r}.", f"thrive data log {name}")
            datasets.remove_tag(tx, ctx.project_id, version.dataset, called)
            return Tagged(dataset=version.dataset, tag=called, version=0, before=before)
        if before not in (0, version.version) and not move:
            raise Conflict(
                f"{called!r} names {version.dataset}@{before}.",
                f"thrive data tag {label} {called} --move",
            )
        datasets.get_version(tx, ctx.project_id, version.dataset, version.version)
        made = DatasetTag(
            dataset=version.dataset,
            tag=called,
            version=version.version,
            actor=ctx.actor.name,
            at=ctx.now(),
        )
        datasets.save_tag(tx, ctx.project_id, made)
    return Tagged(dataset=version.dataset, tag=called, version=version.version, before=before)
