"""Which columns may hold personal data: a proposal by name, pattern and checksum.

A proposal names a kind and on what it rests; it never carries a value. A person confirms it once
(`data confirm`, or `personal = { ... }` in the contract), and the columns of later versions with
the same name and type are known by that.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.data import free_text
from thrive.data import personal_patterns as patterns
from thrive.data.survey import Proposal
from thrive.domain.dataset import BY_NAME
from thrive.domain.pseudonyms import is_pseudonym

if TYPE_CHECKING:
    import polars as pl

_ENOUGH = 0.6
"""The share of a column's values that must look like a kind."""
_ENOUGH_IDS = 0.9
"""The same for national ids: every tenth number passes a check digit by chance."""
_ENOUGH_NAMED = 0.3
"""The same where the column's name says so too."""
_IN_TEXT = 0.01
"""The share of free texts that must contain a kind."""
_NAMES_IN_TEXT = 0.05
"""The same for people's names, which a language model also sees where there are none."""
_FREE_TEXT = 40
"""Mean characters from which a column counts as free text."""

_RECOGNISERS: tuple[tuple[str, patterns.Recogniser, float], ...] = (
    ("pseudonym", is_pseudonym, _ENOUGH),
    ("email", patterns.is_email, _ENOUGH),
    ("iban", patterns.is_iban, _ENOUGH),
    ("card", patterns.is_card, _ENOUGH),
    ("ip", patterns.is_ip, _ENOUGH),
    ("national-id", patterns.is_national_id, _ENOUGH_IDS),
    ("phone", patterns.is_phone, _ENOUGH),
    ("address", patterns.is_address, _ENOUGH),
)
"""In the order of how sure a match is."""

_HINTS: dict[str, str] = {
    "email": r"e?_?mails?|courriel|correo|mailadresse",
    "phone": r"phones?|telephone|tel|telefon\w*|mobile|cell|cellphone|handy|gsm|fax|movil|msisdn",
    "iban": r"iban",
    "card": r"card_?(?:no|num|number)|credit_?card|pan|kartennummer",
    "ip": r"ip|ip_?addr(?:ess)?|client_?ip|remote_?addr",
    "national-id": r"ssn|social_?security(?:_?(?:no|number))?|nino|dni|nie|nir|bsn|cpf|pesel|"
    r"personnummer|passport(?:_?(?:no|number))?|tax_?id|steuer_?id|codice_?fiscale|national_?id|aadhaar",
    "name": r"first_?name|last_?name|given_?name|family_?name|middle_?name|full_?name|surname|"
    r"forename|vorname|nachname|prenom|nom|apellidos?|nombre|cognome|nome|imie|nazwisko|"
    r"(?:customer|client|patient|employee|person|user|contact|owner|holder|member|student)_?name",
    "address": r"address|addr|street\w*|strasse|adresse|direccion|indirizzo|endereco|adres|"
    r"(?:home|postal|billing|shipping|mailing)_?address",
    "birth date": r"birth_?date|date_?of_?birth|dob|birthday|geburtsdatum|geburtstag|"
    r"date_?naissance|fecha_?nacimiento|data_?nascita|birth_?year|year_?of_?birth",
}
_NAMED = {kind: re.compile(rf"(?:^|.*_)(?:{words})(?:_.*|\d*)$") for kind, words in _HINTS.items()}
_TESTED_BY = {kind: judge for kind, judge, _ in _RECOGNISERS} | {"name": patterns.is_name}
_LONE_NAMES = re.compile(
    r"names?|person|holder|customer|client|patient|employee|passenger|driver|guest|tenant|member|"
    r"student|teacher|author|sender|recipient|applicant|borrower|owner|user|contact|kund(?:e|in)"
)
"""Names of columns that hold people's names only if the values read like some."""
_BIRTH = re.compile(r"(?:.*_)?(?:birth|born)(?:_(?:on|at|day))?")
"""Names of columns that hold birth dates only if the values are dates."""
_OF_A_LIST = 5
"""Values of a list that are looked at."""
_SIGNS = {"email": "@", "phone": "+"}
"""What each text holds in which such a kind stands; a kind without is looked for in long texts."""


def propose(name: str, sample: "pl.Series | None", kind: Any) -> Proposal | None:
    """Return what a column seems to hold, None if nothing speaks for personal data.

    Args:
        name: the column's name.
        sample: spread values without missing ones; None for types that are not looked at.
        kind: the column's polars type.
    """
    if sample is not None and kind.is_nested():
        return _inside(name, sample)
    plain = _plain_name(name)
    hinted = next((each for each, form in _NAMED.items() if form.match(plain)), None)
    if kind.is_temporal() or sample is None:
        is_birthday = hinted == "birth date" or _BIRTH.fullmatch(plain) is not None
        return _by_name_alone("birth date" if is_birthday and kind.is_temporal() else None)
    values = [str(value).strip() for value in sample.to_list()]
    if not values:
        return _by_name_alone(hinted)
    return _of_values(plain, hinted, values, is_text=not kind.is_integer())


def _of_values(
    plain: str, hinted: str | None, values: Sequence[str], *, is_text: bool
) -> Proposal | None:
    by_form = _by_form(values, hinted, is_text=is_text)
    if by_form is not None:
        return by_form
    if hinted is None and _LONE_NAMES.fullmatch(plain):
        share = _share(values, patterns.is_name)
        several = _share(values, lambda value: " " in value)
        if share >= _ENOUGH and several >= _ENOUGH:
            return Proposal(kind="name", share=share, by="its name and the form of its values")
    if hinted in ("phone", "national-id", "birth date") or (
        hinted in ("name", "address") and is_text
    ):
        return _by_name_alone(hinted)
    return _inside_text(values) if is_text else None


def _inside(name: str, sample: "pl.Series") -> Proposal | None:
    """Return what the first field of a structure or list that seems personal holds."""
    for path, values in _leaves(name, sample):
        found = propose(path, values.drop_nulls(), values.dtype)
        if found is not None and found.by == BY_NAME:
            return found
        if found is not None:
            by = f"{found.by}, in {path}" if path != name else found.by
            return msgspec.structs.replace(found, by=by)
    return None


def _leaves(path: str, values: "pl.Series") -> "Iterator[tuple[str, pl.Series]]":
    """Yield the innermost values of nested ones that are looked at, each under its path."""
    import polars as pl

    kind = values.dtype
    if isinstance(kind, pl.Struct):
        for field in kind.fields:
            yield from _leaves(f"{path}.{field.name}", values.struct.field(field.name))
    elif isinstance(kind, pl.Array):
        yield from _leaves(path, values.arr.to_list())
    elif isinstance(kind, pl.List):
        yield from _leaves(path, values.list.head(_OF_A_LIST).explode())
    elif kind == pl.String or kind.is_integer() or kind.is_temporal():
        yield path, values


def _plain_name(name: str) -> str:
    """Return `customerEmail` and `Customer E-Mail` alike, in lower case with underscores."""
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spread.lower()).strip("_")


def _by_name_alone(hinted: str | None) -> Proposal | None:
    return Proposal(kind=hinted, share=0.0, by=BY_NAME) if hinted else None


def _by_form(values: Sequence[str], hinted: str | None, *, is_text: bool) -> Proposal | None:
    for kind, judge, enough in _RECOGNISERS:
        if not is_text and kind not in ("card", "national-id"):
            continue
        if not is_text and kind == "national-id" and hinted != kind:
            continue
        share = _share(values, judge)
        if hinted == kind and share >= _ENOUGH_NAMED:
            return Proposal(kind=kind, share=share, by="its name and the form of its values")
        if share >= enough:
            return Proposal(kind=kind, share=share, by="the form of its values")
    if (
        hinted == "name"
        and is_text
        and (share := _share(values, patterns.is_name)) >= _ENOUGH_NAMED
    ):
        return Proposal(kind="name", share=share, by="its name and the form of its values")
    return None


def _share(values: Sequence[str], judge: patterns.Recogniser) -> float:
    return sum(map(judge, values)) / len(values)


def _inside_text(values: Sequence[str]) -> Proposal | None:
    is_long = sum(map(len, values)) >= _FREE_TEXT * len(values)
    for kind, form in patterns.INSIDE_TEXT.items():
        sign = _SIGNS.get(kind, "")
        if not sign and not is_long:
            continue
        share = _share(values, lambda value, f=form, s=sign: s in value and bool(f.search(value)))
        if share >= _IN_TEXT:
            return Proposal(kind=kind, share=share, by="what stands inside its texts")
    return _by_presidio(values) if is_long and free_text.is_installed() else None


def _by_presidio(values: Sequence[str]) -> Proposal | None:
    shares = free_text.shares_inside(values)
    enough = {
        kind: share
        for kind, share in shares.items()
        if share >= (_NAMES_IN_TEXT if kind == "name" else _IN_TEXT)
    }
    if not enough:
        return None
    kind = max(enough, key=lambda each: enough[each])
    return Proposal(kind=kind, share=enough[kind], by="what Presidio finds inside its texts")
