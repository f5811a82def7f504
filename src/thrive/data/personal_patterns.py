"""What personal data looks like: a recogniser a kind, by pattern and, if there is one, checksum.

With the extra `personal` telephone numbers and national ids are judged by `phonenumbers` and
`python-stdnum`, which know more countries; without it by the rules of this module.
"""

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

Recogniser = Callable[[str], bool]

_EMAIL = r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_PHONE = r"(?:\+|00|\(0|0)[0-9][0-9()/ .-]{5,18}[0-9]"
_IBAN = r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"
_STREETS = (
    r"street|st\.|road|rd\.?|avenue|ave\.?|lane|drive|boulevard|blvd|court|square|way|"
    r"\w*stra(?:ss|ß)e|\w*str\.|\w*weg|\w*gasse|platz|rue|chemin|calle|carrera|plaza|via|viale|"
    r"piazza|rua|avenida|travessa|ulica|ul\.|\w*straat|\w*laan|\w*gatan|\w*vej|katu"
)
_ADDRESS = re.compile(rf"(?=.*\d)(?=.*\b(?:{_STREETS})(?:\b|\s|$)).{{6,120}}", re.IGNORECASE)
_NAME_WORDS = re.compile(
    r"[^\W\d_]+(?:['\u2019.-][^\W\d_]*)*(?:,? [^\W\d_]+(?:['\u2019.-][^\W\d_]*)*){0,4}"
)
INSIDE_TEXT = {
    "email": re.compile(rf"\b{_EMAIL}\b"),
    "phone": re.compile(r"(?<![\w.])\+[0-9][0-9()/ .-]{7,17}[0-9](?![\w.])"),
    "iban": re.compile(rf"\b{_IBAN}\b"),
}
"""What is searched inside free text, where a whole cell is never one value."""

_email, _phone, _iban = re.compile(_EMAIL), re.compile(_PHONE), re.compile(_IBAN)
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_date = re.compile(rf"{_DAY}([/. -]){_DAY}\1(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}})")


def is_email(text: str) -> bool:
    """Tell whether a text has the form of a mail address."""
    return _email.fullmatch(text) is not None


def is_ip(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address."""
    if text.count(".") != 3 and text.count(":") < 2:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_iban(text: str) -> bool:
    """Tell whether a text is an account number whose remainder modulo 97 is 1 (ISO 13616)."""
    if not _iban.fullmatch(text):
        return False
    packed = text.replace(" ", "")
    digits = "".join(str(int(sign, 36)) for sign in packed[4:] + packed[:4])
    return int(digits) % 97 == 1


def is_card(text: str) -> bool:
    """Tell whether a text is a payment card number: an issuer's first digits, and Luhn's sum."""
    packed = re.sub(r"[ -]", "", text)
    if not (packed.isascii() and packed.isdigit() and 13 <= len(packed) <= 19):
        return False
    return packed[0] in "23456" and luhn(packed)


def luhn(digits: str) -> bool:
    """Tell whether digits end in the right check digit (ISO/IEC 7812-1)."""
    total = 0
    for place, sign in enumerate(reversed(digits)):
        digit = int(sign) * (1 + place % 2)
        total += digit - 9 * (digit > 9)
    return total % 10 == 0


def is_phone(text: str) -> bool:
    """Tell whether a text is a telephone number: dialled from anywhere, or in groups."""
    if not _phone.fullmatch(text) or not 7 <= sum(map(str.isdigit, text)) <= 15:
        return False
    if _date.fullmatch(text):
        return False
    if text.isdigit() and not text.startswith("00"):
        return False
    library = _library("phonenumbers")
    if library is None or not text.startswith("+"):
        return True
    try:
        return library.is_possible_number(library.parse(text))
    except library.NumberParseException:
        return False


def named_by_value(name: str) -> str:
    """Return the kind of personal data that the name of a column is itself, "" for a name."""
    if is_email(name):
        return "email"
    if is_iban(name):
        return "iban"
    if is_card(name):
        return "card"
    return "phone" if name.startswith("+") and is_phone(name) else ""


def is_address(text: str) -> bool:
    """Tell whether a text reads like a street with a number."""
    return _ADDRESS.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether a text is up to five capitalised words; only a column's name makes it one."""
    return text[:1].isupper() and _NAME_WORDS.fullmatch(text) is not None


def is_national_id(text: str) -> bool:
    """Tell whether a text is the number of a person in one of the states that are known."""
    packed = re.sub(r"[ .-]", "", text.upper())
    if not 8 <= len(packed) <= 16 or not any(map(str.isdigit, packed)):
        return False
    return any(judge(text, packed) for judge in _OWN_IDS) or any(
        judge(packed) for judge in _more_ids()
    )


def _us(text: str, _packed: str) -> bool:
    return re.fullmatch(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}", text) is not None


def _gb(_text: str, packed: str) -> bool:
    form = r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]"
    return re.fullmatch(form, packed) is not None


def _es(_text: str, packed: str) -> bool:
    if not re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", packed):
        return False
    number = int(packed[:8].translate(str.maketrans("XYZ", "012")))
    return packed[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


def _fr(_text: str, packed: str) -> bool:
    if not re.fullmatch(r"[12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)\d[\dAB]\d{8}", packed):
        return False
    number = int(packed[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(packed[13:])


def _it(_text: str, packed: str) -> bool:
    return re.fullmatch(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", packed) is not None


def _pl(_text: str, packed: str) -> bool:
    return _weighted(packed, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)


def _nl(_text: str, packed: str) -> bool:
    return _weighted(packed, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11) and packed != "0" * 9


def _br(_text: str, packed: str) -> bool:
    if not (packed.isdigit() and len(packed) == 11) or len(set(packed)) == 1:
        return False
    return all(
        int(packed[end])
        == sum(int(d) * w for d, w in zip(packed, range(end + 1, 1, -1), strict=False))
        * 10
        % 11
        % 10
        for end in (9, 10)
    )


def _se(text: str, packed: str) -> bool:
    dashed = re.fullmatch(r"(?:\d{2})?\d{2}[01]\d[0-9]\d[-+]\d{4}", text) is not None
    return dashed and luhn(packed.replace("+", "")[-10:])


def _weighted(packed: str, weights: tuple[int, ...], modulus: int) -> bool:
    if not (packed.isascii() and packed.isdigit() and len(packed) == len(weights)):
        return False
    return sum(int(d) * w for d, w in zip(packed, weights, strict=True)) % modulus == 0


_OWN_IDS: tuple[Callable[[str, str], bool], ...] = (_us, _gb, _es, _fr, _it, _pl, _nl, _br, _se)

_STDNUM = (
    "at.vnr", "be.nn", "bg.egn", "ca.sin", "cz.rc", "de.idnr", "dk.cpr", "ee.ik", "fi.hetu",
    "gb.nhs", "hr.oib", "ie.pps", "in_.aadhaar", "lt.asmens", "no.fodselsnummer", "pt.nif",
    "ro.cnp", "tr.tckimlik", "za.idnr",
)  # fmt: skip


@cache
def _more_ids() -> tuple[Recogniser, ...]:
    """Return the numbers that python-stdnum knows beyond ours, if it is installed."""
    found = [_library(f"stdnum.{name}") for name in _STDNUM]
    return tuple(module.is_valid for module in found if module is not None)


@cache
def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
