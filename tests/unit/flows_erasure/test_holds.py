"""What a legal hold is on stays, whichever way somebody tries to delete it."""

import pytest
from tests.planted import PERSON

from thrive.data.cleaning import gc, rm
from thrive.data.operations import add
from thrive.domain.errors import Refused
from thrive.flows.erasure.erasing import erase
from thrive.flows.oversight import holds_lift, holds_place
from thrive.operations import Context
from thrive.store import erasures, models
from thrive.tracking.curation import delete as delete_run

ORDER = "order 17"


def run_of(planted: Context, version: int) -> str:
    with planted.read() as tx:
        return models.get_version(tx, planted.project_id, "value", version).run_id


@pytest.mark.parametrize("subject", ["dataset:orders", "model:value", "project"])
def test_nothing_is_erased_and_no_erasure_begins(planted: Context, subject: str) -> None:
    hold = holds_place(planted, subject, reason=ORDER)
    with pytest.raises(Refused, match=ORDER):
        erase(planted, PERSON, reason="asked", yes=True)
    with planted.read() as tx:
        assert erasures.find(tx, planted.project_id) == []
    holds_lift(planted, hold.hold_id, reason="ended")
    assert erase(planted, PERSON, reason="asked", yes=True).state == "done"


def test_versions_runs_and_bytes_stay(planted: Context) -> None:
    for rain in (0.25, 0.75):
        (planted.local_folder() / "weather.csv").write_text(f"day,rain\n3,{rain}\n")
        add(planted, "weather.csv", name="weather")
    hold = holds_place(planted, "dataset:weather", reason=ORDER)
    with pytest.raises(Refused, match=ORDER):
        rm(planted, "weather@2", reason="old")
    with pytest.raises(Refused, match=ORDER):
        delete_run(planted, run_of(planted, 2), reason="old")
    assert delete_run(planted, run_of(planted, 1), reason="of other data").deleted
    holds_lift(planted, hold.hold_id, reason="ended")
    assert delete_run(planted, run_of(planted, 2), reason="old").deleted
    assert rm(planted, "weather@2", reason="old").version == 2
    hold = holds_place(planted, "model:value@1", reason=ORDER)
    with pytest.raises(Refused, match=ORDER):
        delete_run(planted, run_of(planted, 1), reason="old")
    holds_place(planted, "project", reason=ORDER)
    with pytest.raises(Refused, match=ORDER):
        gc(planted, older_than="0s")
