"""Data is refused where its terms forbid the use, with the line of thrive.toml to fix."""

import pytest

from thrive.contract.parse import load
from thrive.data.confirming import confirm
from thrive.data.operations import add, decide
from thrive.data.reading import find_version
from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.errors import ContractGap
from thrive.domain.run import Use
from thrive.flows.data_show import show
from thrive.flows.data_use import refuse_training_data, refuse_use, use_problems
from thrive.flows.making import record_making
from thrive.flows.project import check
from thrive.store import projects

CONTRACT = """\
contract = 1

[data.riders]
source = "riders.csv"
owner = "people"
why = "Who rode where."
allowed = ["late-warning"]
personal = { rider = "name", minutes = "none" }
legal_basis = "contract with the rider"
retention = "30 days"

[model.lateness]
purpose = "late-warning: tell riders at the stop which of their trips will come late today."
target = { column = "late" }

[model.prices]
purpose = "pricing: tell the sales desk which ticket price riders would still pay."
target = { column = "price" }
"""


@pytest.fixture
def riders(context, tmp_path):
    """Write a contract and add a version; return what refuses, to be called again."""

    def made(old: str = "", new: str = "", text: str = "rider,minutes\nAnn,3\nBob,4\n"):
        (tmp_path / "thrive.toml").write_text(CONTRACT.replace(old, new) if old else CONTRACT)
        (tmp_path / "riders.csv").write_text(text)
        add(context, name="riders")
        return find_version(context, "riders")

    return made


def refused(context, version, *models: str) -> ContractGap:
    contract = load(context.local_folder())
    with pytest.raises(ContractGap) as caught:
        refuse_use(context, version, contract, models or None)
    return caught.value


def test_data_is_used_as_its_terms_say(context, riders):
    version = riders()
    refuse_use(context, version, load(context.local_folder()), ["lateness"])
    refuse_use(context, version, load(context.local_folder()))


def test_a_use_outside_the_allowed_purposes(context, riders):
    error = refused(context, riders(), "prices")
    assert error.what == (
        "thrive.toml:7: riders@1 may serve late-warning; that is no purpose of prices (owed by people)."
    )
    assert "allowed in [data.riders]" in error.hint


def test_no_model_of_the_contract_may_use_it(context, riders):
    version = riders('["late-warning"]', '["audits"]')
    assert "no purpose of lateness, prices" in refused(context, version).what


def test_a_legal_basis_that_is_missing(context, riders):
    error = refused(context, riders('legal_basis = "contract with the rider"\n', ""))
    assert error.what.startswith("thrive.toml:3: riders@1 holds personal data (rider) without")


def test_a_legal_basis_that_denies_that_the_data_is_personal(context, riders):
    version = riders("contract with the rider", "none needed: no personal data")
    error = refused(context, version)
    assert error.what.startswith(
        "thrive.toml:9: riders@1 holds personal data (rider) without a legal basis, "
        "but 'none needed: no personal data'"
    )
    told = [line for line in check(context) if "its legal basis is 'none needed" in line.what]
    assert [(line.where, line.blocks) for line in told] == [("thrive.toml:9", "production")]
    version = riders('rider = "name"', 'rider = "none"', "rider,minutes\nr1,3\nr2,4\n")
    refuse_use(context, version, load(context.local_folder()))


def test_what_stands_against_a_version_is_shown_with_it(context, riders):
    riders('legal_basis = "contract with the rider"', "")
    (shown,) = show(context, "riders").problems
    assert "without a legal basis. Write legal_basis" in shown
    riders()
    assert show(context, "riders").problems == []


def test_retention_that_has_passed(context, riders):
    version = riders()
    with context.home.write() as tx:
        later = version.created_at + 31 * 86_400_000_000
        state = ClockState(mode=ClockMode.REPLAY, replay_now=later)
        projects.set_clock(tx, context.project_id, state)
    error = refused(context, version)
    assert error.what.startswith("thrive.toml:10: riders@1 was to be kept for 30 days, until")


def test_columns_that_nobody_named(context, riders):
    version = riders(text="rider,minutes,mail\nAnn,3,a@b.example\nBob,4,c@d.example\n")
    error = refused(context, version)
    assert error.what.startswith("thrive.toml:8: nobody has said whether columns of riders@1")
    assert "mail (email?)" in error.what
    assert [line.what for line in check(context) if "nobody has said" in line.what]
    confirm(context, "riders", reason="they are addresses")
    refuse_use(context, find_version(context, "riders"), load(context.local_folder()))
    assert not [line.what for line in check(context) if "nobody has said" in line.what]


def test_a_version_that_failed_a_check_is_told_by_check_until_somebody_decides(context, riders):
    riders("\nretention", '\nchecks = ["minutes between 0 and 3"]\nretention')
    (told,) = [line for line in check(context) if "may not be trained on" in line.what]
    assert told.what == (
        "riders@1 may not be trained on: minutes between 0 and 3: 1 row lies outside."
    )
    assert (told.where, told.blocks) == ("thrive.toml:10", "train")
    assert told.fix.endswith('thrive data decide riders@1 --trainable --reason "..."')
    decide(context, "riders@1", trainable=True, reason="Bob came late")
    assert not [line for line in check(context) if "may not be trained on" in line.what]


def test_what_people_confirmed_is_the_line_that_production_asks_for(context, riders):
    line = 'personal = { rider = "name", minutes = "none" }\n'
    riders(line, "", "id,the mail\n1,a@b.example\n")
    confirm(context, "riders", ["the mail=email", "id=none"], reason="read the file")
    (told,) = [line for line in check(context) if "has no personal" in line.what]
    assert told.fix == 'write personal = { id = "none", "the mail" = "email" } in [data.riders]'


def test_the_line_to_write_names_each_column_that_is_asked_about(context, riders):
    version = riders(text="rider,minutes,mail,e-mail 2\nAnn,3,a@b.example,x@y.example\n")
    hint = refused(context, version).hint
    assert hint.startswith(
        'add mail = "email", "e-mail 2" = "email" to personal in [data.riders], or: thrive data'
    )
    version = riders(
        'personal = { rider = "name", minutes = "none" }\n', "", "n,mail\n1,a@b.example\n"
    )
    assert refused(context, version).hint.startswith(
        'write personal = { n = "none", mail = "email" }'
    )


def test_a_column_whose_values_belie_its_label_is_accepted_by_name_alone(context, riders):
    version = riders(text="rider,minutes\nAnn,a@b.example\nBob,c@d.example\n")
    error = refused(context, version)
    assert error.what.startswith("thrive.toml:8: minutes of riders@1 is said to hold no personal")
    assert "seems to hold email, by the form of its values (owed by people" in error.what
    assert "thrive data confirm riders@1 minutes=none" in error.hint
    confirm(context, "riders@1", ["minutes=none"], reason="test rows of our own")
    refuse_use(context, find_version(context, "riders"), load(context.local_folder()))


def test_promotion_asks_of_all_that_a_version_was_trained_on(context, riders):
    version = riders()
    contract = load(context.local_folder())
    asked = {"riders": version.digest}
    with context.read() as tx:
        refuse_training_data(tx, context, asked, contract, "lateness")
        with pytest.raises(ContractGap, match="no purpose of prices") as refused:
            refuse_training_data(tx, context, asked, contract, "prices", then="; then wait")
    assert refused.value.hint.endswith("allowed in [data.riders]; then wait")
    labelled = riders(text="rider,minutes,mail\nAnn,3,a@b.example\n")
    asked = {"riders": labelled.digest}
    with context.read() as tx, pytest.raises(ContractGap, match="nobody has said") as refused:
        refuse_training_data(tx, context, asked, contract, "lateness", then="; then wait")
    assert refused.value.hint.endswith('thrive data confirm riders@2 --reason "..."')


@pytest.mark.parametrize(("columns", "refusals"), [(["rider"], 1), (None, 1), (["minutes"], 0)])
def test_the_basis_of_what_was_read_on_the_way_is_asked_column_by_column(
    context, riders, tmp_path, columns, refusals
):
    text = CONTRACT.replace('legal_basis = "contract with the rider"\n', "")
    source = riders(CONTRACT, text)
    (tmp_path / "mean.csv").write_text("hour,late\n3,1\n")
    add(context, "mean.csv", name="mean")
    read = Use(
        kind="dataset",
        name="riders",
        digest=source.digest,
        direction="in",
        version=source.version,
        columns=columns,
    )
    record_making(context, find_version(context, "mean"), "made", [read], context.now())
    with context.read() as tx:
        found = use_problems(
            tx, context, find_version(context, "mean"), load(tmp_path), ["lateness"]
        )
    assert len(found) == refusals
    for problem in found:
        assert "mean@1 is made from riders@1: riders@1 holds personal data (rider)" in problem.what
        assert "legal_basis" in problem.fix
