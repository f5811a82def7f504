import pytest

from thrive.domain.errors import UsageError
from thrive.domain.model import ModelVersion, Stage
from thrive.domain.reference import parse_reference
from thrive.domain.release import RoutingTable, Variant
from thrive.registry.stages import champion, stage_of


def version(number, **changes):
    return ModelVersion(
        model="m", version=number, package="", signature={}, metrics={}, run_id="", contract="",
        commit="", dirty=False, created_at=0, actor="", **changes,
    )  # fmt: skip


def table(revision, *variants):
    return RoutingTable(
        model="m", revision=revision, fallback=None, salt="", at=revision, reason="", actor="",
        variants=[
            Variant(version=number, package="", share=share, shadow=share == 0)
            for number, share in variants
        ],
    )  # fmt: skip


HISTORY = [table(3, (3, 0.9), (4, 0.1), (5, 0.0)), table(2, (2, 1.0)), table(1, (1, 0.0))]


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (1, Stage.DEV),  # was in the shadow only
        (2, Stage.RETIRED),
        (3, Stage.PRODUCTION),
        (4, Stage.STAGING),
        (5, Stage.STAGING),
        (6, Stage.DEV),
    ],
)
def test_stages_are_derived_from_the_routing_history(number, stage):
    assert stage_of(version(number), HISTORY) is stage


def test_a_person_may_retire_and_nothing_live_means_no_champion():
    assert stage_of(version(6, retired_at=1), HISTORY) is Stage.RETIRED
    assert stage_of(version(1), []) is Stage.DEV
    assert champion(HISTORY) == 3
    assert champion([]) is None


@pytest.mark.parametrize(
    ("text", "parsed"), [("a-b", ("a-b", None)), ("a@3", ("a", 3)), ("a@v12", ("a", 12))]
)
def test_references(text, parsed):
    assert parse_reference(text) == parsed


@pytest.mark.parametrize("text", ["", "A", "a@", "a@0", "a@x", "a@-1", "a@1.5", "../a@1", "a@²"])
def test_wrong_references(text):
    with pytest.raises(UsageError):
        parse_reference(text)
