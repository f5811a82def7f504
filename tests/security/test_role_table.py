"""The table of roles in the design, said once more and held against every operation of its areas."""

import pytest

from thrive.flows.catalogue import load_all

ROLES = {
    "E": "data-engineer", "S": "data-scientist", "M": "ml-engineer", "P": "platform",
    "A": "auditor", "c": "ci", "s": "serve",
}  # fmt: skip
TABLE = {
    "ESc": ["data add", "data commit", "data tag", "data rm", "data refresh"],
    "E": ["data confirm", "data decide", "data expire", "grants give", "data export-subject"],
    "ESMc": ["data checkout", "data export", "predictions show", "outcomes list", "reviews list",
             "features get", "features materialize", "duties answer", "documents render"],
    "ESM": ["approvals give", "reviews answer"],
    "SMc": ["run", "runs start", "runs delete", "models alias", "models retrain", "gates run"],
    "M": ["releases start", "releases promote", "releases resume", "releases advance",
          "releases rollback", "models retire", "models protect", "exceptions grant"],
    "MP": ["releases stop", "releases hold", "drills stop", "serve"],
    "EP": ["data erase", "erasures approve", "holds place", "holds lift", "data find-subject",
           "restrictions place", "restrictions lift"],
    "P": ["tokens create", "tokens revoke", "backups create", "data gc", "messages send"],
    "ESMPAcs": ["audit list", "audit verify", "audit export", "models show", "data show"],
}  # fmt: skip


@pytest.mark.parametrize("letters", TABLE)
def test_each_operation_is_for_the_roles_of_the_table(letters):
    operations = load_all()
    wanted = {ROLES[letter] for letter in letters}
    assert {name: set(operations[name].role) for name in TABLE[letters]} == dict.fromkeys(
        TABLE[letters], wanted
    )


def test_who_keeps_the_platform_neither_reads_rows_nor_moves_traffic_forward():
    may = {name for name, each in load_all().items() if "platform" in each.role and each.writes}
    assert {name for name in may if name.split()[0] in {"releases", "models", "runs", "data"}} == {
        "releases stop", "releases hold", "models delete", "data erase", "data gc",
    }  # fmt: skip
