"""Operations on model cards and duties."""

from pathlib import Path

import msgspec

from thrive.contract.gaps import Gap, gaps_for_model
from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.errors import NotFound
from thrive.domain.reference import format_reference
from thrive.governance.card import make_card
from thrive.governance.records import read_records
from thrive.governance.render import as_html, as_json, as_markdown
from thrive.operations import Context, operation
from thrive.store import references


class CardFile(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a card: the digest it is kept under, and the file it was written to."""

    form: str
    digest: str
    path: str


class CardMade(msgspec.Struct, frozen=True, kw_only=True):
    """A model card as it was rendered; `text` is its Markdown, empty when files were written."""

    model: str
    version: int
    missing: int
    files: list[CardFile]
    text: str


@operation("models card", role=BUILDERS, writes=True)
def card(ctx: Context, model: str, *, to: Path | None = None) -> CardMade:
    """Render the model card of a version from its records: Markdown, HTML and JSON.

    Every statement carries the id of its record; what nobody recorded is shown as missing.

    Args:
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.
        to: a folder to write the three files into.

    Examples:
        thrive models card flight-delay --to cards
    """
    made = make_card(read_records(ctx, model))
    forms = {
        "html": as_html(made).encode(),
        "md": as_markdown(made).encode(),
        "json": as_json(made),
    }
    digests = {form: ctx.home.blobs.put(content) for form, content in forms.items()}
    subject = format_reference(made.model, made.version)
    with ctx.write(f"model_card:{subject}", record=digests["json"], missing=made.missing) as tx:
        references.add(tx, ctx.project_id, "model_card", subject, *digests.values())
    paths = _written(ctx, to, subject, forms) if to else {}
    return CardMade(
        model=made.model,
        version=made.version,
        missing=made.missing,
        files=[
            CardFile(form=form, digest=digest, path=paths.get(form, ""))
            for form, digest in digests.items()
        ],
        text="" if to else forms["md"].decode(),
    )


def _written(ctx: Context, to: Path, subject: str, forms: dict[str, bytes]) -> dict[str, str]:
    folder = ctx.local_folder() / to
    folder.mkdir(parents=True, exist_ok=True)
    paths = {form: folder / f"{subject}.{form}" for form in forms}
    for form, path in paths.items():
        path.write_bytes(forms[form])
    return {form: str(path) for form, path in paths.items()}


@operation("duties list", role=ANYONE)
def duties(ctx: Context, model: str) -> list[Gap]:
    """List what the contract in force does not answer and production asks for.

    Args:
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.

    Examples:
        thrive duties list flight-delay
    """
    records = read_records(ctx, model)
    if records.parsed is None:
        label = format_reference(records.version.model, records.version.version)
        raise NotFound(f"No contract was stored with {label}.", "thrive check")
    return gaps_for_model(
        records.parsed, records.version.model, records.upstream, records.reachable
    )
