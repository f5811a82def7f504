"""Answers are shown with pseudonyms where their inputs or keys hold personal data."""

from tests.planted import PERSON, answer

from thrive.flows.personal_data import data_reads, grants_give
from thrive.flows.predictions import predictions_show
from thrive.flows.seen_predictions import hiding_of
from thrive.operations import Context
from thrive.store.eventlog import SegmentWriter


def test_a_key_that_names_somebody_is_a_pseudonym_without_a_grant(planted: Context) -> None:
    with SegmentWriter(planted.home.log_folder, 1) as writer:
        asked = answer(writer, [PERSON])
    shown = predictions_show(planted, asked)
    assert shown.keys["customer"].startswith("pseudonym-")
    assert shown.inputs == {"amount": 1.0}
    (read,) = data_reads(planted)
    assert (read.dataset, read.pseudonymised, read.rows) == ("orders", ["customer"], 1)
    grants_give(planted, "orders", purpose="complaints", reason="request 17")
    assert predictions_show(planted, asked).keys["customer"] == PERSON
    assert data_reads(planted)[0].purpose == "complaints"


def test_what_the_fallback_answered_and_what_names_nobody_is_shown_as_it_is(
    planted: Context,
) -> None:
    assert hiding_of(planted, "value", 0, {"customer"})("customer", PERSON) == PERSON
    assert hiding_of(planted, "value", 1, {"amount"})("amount", 1.0) == 1.0
    assert hiding_of(planted, "value", 2, {"customer"})("customer", PERSON) == PERSON  # weather
    assert data_reads(planted) == []
