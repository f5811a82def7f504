"""For which models a duty or a question is in force."""

from thrive.governance.law import When, questions
from thrive.governance.measures import persons, sensitive_columns
from thrive.governance.records import Records


def is_automatic(records: Records) -> bool:
    """Tell whether answers decide without a person."""
    return records.answers.fields.get("decision") == "automatic"


def has_legal_effect(records: Records) -> bool:
    """Tell whether answers have legal effects on persons, or similarly significant ones."""
    return records.answers.fields.get("effect") == "legal"


def impact_reasons(records: Records) -> list[str]:
    """Return why an impact assessment is due (GDPR art. 35(3)); none if it is not."""
    found: list[str] = []
    if is_automatic(records) and has_legal_effect(records):
        found.append("it decides without a person, with legal effects")
    if sensitive_columns(records):
        found.append("it learned from special categories of data")
    many = questions().many_persons
    if records.personal() and persons(records) >= many:
        found.append(f"it learned from personal data of {persons(records):,} persons")
    return found


def is_about(records: Records, when: When) -> bool:
    """Tell whether a version is what a duty or a question is about."""
    answers = records.answers.fields
    judged = {
        When.ALWAYS: lambda: True,
        When.PERSONAL: lambda: bool(records.personal()),
        When.SENSITIVE: lambda: bool(sensitive_columns(records)),
        When.EMBEDDED: lambda: answers.get("embedded") == "yes",
        When.PUBLIC_BODY: lambda: answers.get("public_body") == "yes",
        When.AUTOMATIC: lambda: is_automatic(records) and has_legal_effect(records),
        When.IMPACT: lambda: bool(impact_reasons(records)),
    }
    return judged[when]()
