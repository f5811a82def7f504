"""What stands inside free text, found by Presidio (the extra `presidio`) where that is installed.

Without a language model it goes by Presidio's patterns and checksums; with one, which
`THRIVE_TEXT_MODEL` names, people's names are found as well. Nothing is ever fetched: a model that
is not installed is an error, and the two recognisers that ask the network for the list of domains
are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from thrive.domain.errors import UsageError
from thrive.settings import read_settings

LOOKED_AT = 200
"""Texts of a column that are looked at: each takes some milliseconds."""
_SURE = 0.4
"""The score of Presidio from which on a match counts: what it gives a telephone number."""
_NETWORK = ("EmailRecognizer", "UrlRecognizer")
_KINDS = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
}
_NATIONAL = re.compile(r"[A-Z]{2}_(?!BANK|VEHICLE|ABN|ACN|GSTIN|VAT)\w+")
"""Names of what states give to a person; those of firms, vehicles and banks are none."""


def is_installed() -> bool:
    """Tell whether Presidio can be asked."""
    return find_spec("presidio_analyzer") is not None


def shares_inside(texts: Sequence[str]) -> Mapping[str, float]:
    """Return the share of some texts in which each kind of personal data stands.

    Args:
        texts: some of a column's values; the first `LOOKED_AT` of them, evenly spread, are read.

    Raises:
        UsageError: the language model of the settings is not installed.
    """
    some = texts[:: max(1, len(texts) // LOOKED_AT)][:LOOKED_AT]
    analyzer, language = _analyzer(read_settings().text_model)
    counts: Counter[str] = Counter()
    for text in some:
        counts.update(_kinds(analyzer.analyze(text, language=language, score_threshold=_SURE)))
    return {kind: count / len(some) for kind, count in counts.items()}


def _kinds(matches: Iterable[Any]) -> set[str]:
    found = {_kind_of(match.entity_type) for match in matches}
    return {kind for kind in found if kind is not None}


def _kind_of(entity: str) -> str | None:
    return _KINDS.get(entity) or ("national-id" if _NATIONAL.fullmatch(entity) else None)


@cache
def _analyzer(model: str) -> tuple[Any, str]:
    """Return Presidio's engine and the language it reads."""
    presidio: Any = import_module("presidio_analyzer")
    engines: Any = import_module("presidio_analyzer.nlp_engine")
    language = _language_of(model) if model else "en"
    named = [{"lang_code": language, "model_name": model}]
    engine = engines.SpacyNlpEngine(named) if model else engines.NoOpNlpEngine(named)
    engine.load()
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine if model else None)
    for name in (*_NETWORK, *(() if model else ("SpacyRecognizer",))):
        registry.remove_recognizer(name)
    analyzer = presidio.AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=[language]
    )
    return analyzer, language


def _language_of(model: str) -> str:
    spacy: Any = import_module("spacy.util")
    if spacy.is_package(model):
        folder = spacy.get_package_path(model)
    elif (folder := Path(model)).is_dir():
        pass
    else:
        raise UsageError(
            f"The language model {model!r} of THRIVE_TEXT_MODEL is not installed.",
            f"python -m spacy download {model}, or unset THRIVE_TEXT_MODEL",
        )
    return str(spacy.get_model_meta(folder)["lang"])
