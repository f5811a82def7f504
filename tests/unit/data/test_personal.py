"""Columns that hold personal data: pseudonyms by default, values by grant, each reading logged."""

from io import BytesIO
from pathlib import Path
from socket import gethostname

import msgspec
import polars as pl
import pytest
from tests.serving_home import constant_package

from thrive import data
from thrive.contract.parse import load as load_contract
from thrive.data.access import log_read, seen_digest, view_of
from thrive.data.confirming import confirm
from thrive.data.exporting import export
from thrive.data.operations import add, add_rows, checkout, list_datasets, log, view
from thrive.data.reading import find_version
from thrive.domain.actor import Actor, Role, local_user
from thrive.domain.clock import DAY, ClockMode, ClockState
from thrive.domain.dataset import Column
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.flows.derived import inherit
from thrive.flows.personal_data import data_reads, grants_give, grants_list, grants_revoke
from thrive.flows.seen_data import SeenData
from thrive.operations import Context
from thrive.store import audit, projects
from thrive.store.pseudonym_keys import pseudonym_key, spellings
from thrive.store.pseudonyms import pseudonym, pseudonymised
from thrive.store.signing import keep_key

KEY = b"k" * 32
WORDS = {"purpose": "late-warning", "reason": "the model needs it"}


@pytest.fixture
def trips(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Two versions of people's trips in the folder that Python reads from, for its user."""
    (tmp_path / "thrive.toml").write_text(
        'contract = 1\n[data.trips]\nsource = "trips.csv"\nallowed = ["late-warning"]\n'
        'personal = { rider = "name", minutes = "none", id = "none" }\n'
        '[model.delay]\ntarget = { column = "late" }\n'
    )
    (tmp_path / "trips.csv").write_text("id,rider,minutes\n1,ann,3\n2,bob,4\n3,ann,5\n4,,6\n")
    add(context, name="trips")
    monkeypatch.chdir(tmp_path)
    return context.acting(local_user(), "test")


@pytest.mark.filterwarnings("ignore:trips@1")
def test_by_default_names_are_pseudonyms_and_the_reading_is_logged(trips: Context) -> None:
    riders = data.load("trips")["rider"].to_list()
    assert riders[0] == riders[2] != riders[1]
    assert riders[3] is None
    assert all(each.startswith("pseudonym-") for each in riders[:3])
    assert data.load("trips", columns=["id", "minutes"])["minutes"].to_list() == [3, 4, 5, 6]
    assert data.scan("trips").select("rider").collect()["rider"].to_list() == riders
    logged = data_reads(trips, dataset="trips")
    assert [(each.columns, each.pseudonymised, each.rows) for each in logged] == [
        (["rider"], ["rider"], 4)
    ] * 2
    with pytest.warns(UserWarning, match="rider are pseudonyms; to read them: thrive grants give"):
        data.load("trips")


@pytest.mark.filterwarnings("ignore:trips@")
def test_the_column_that_names_a_person_is_personal_without_saying_so(trips: Context) -> None:
    contract = Path("thrive.toml")
    said = contract.read_text()
    contract.write_text(said.replace('"none", id = "none" }', '"none" }\nsubject = "id"'))
    assert data.load("trips")["id"][0].startswith("pseudonym-")  # also of a version from before
    Path("trips.csv").write_text("id,rider,minutes\n1,ann,3\n")
    add(trips, name="trips")
    named = find_version(trips, "trips").columns[0]
    assert (named.personal, named.asked) == ("person", False)
    contract.write_text(said.replace("personal =", 'subject = "id"\npersonal ='))
    assert data.load("trips")["id"].to_list() == [1]  # "none", said aloud, holds


def test_rows_that_are_exported_are_pseudonyms_as_well_and_logged(
    trips: Context, tmp_path: Path
) -> None:
    told = export(trips, "trips", to="out.csv")
    riders = pl.read_csv(tmp_path / "out.csv")["rider"].to_list()
    assert riders[0].startswith("pseudonym-")
    assert (told.pseudonyms, "grants give trips" in told.next_hint) == (["rider"], True)
    assert [each.pseudonymised for each in data_reads(trips)] == [["rider"]]
    grants_give(trips, "trips", **WORDS)
    told = export(trips, "trips", to="clear.csv")
    assert told.pseudonyms == []
    assert pl.read_csv(tmp_path / "clear.csv")["rider"].to_list()[:2] == ["ann", "bob"]
    assert data_reads(trips)[0].purpose == "late-warning"


def test_pseudonyms_of_equal_rows_are_equal_bytes() -> None:
    # results of steps are found again by the bytes of their arguments
    frame = pl.LazyFrame({"rider": [f"rider {number % 700}" for number in range(2_000)]})
    files = [BytesIO(), BytesIO()]
    for file in files:
        pseudonymised(frame, ["rider"], KEY).collect().write_ipc(file)
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.filterwarnings("ignore:trips@1")
def test_a_grant_opens_columns_to_its_reader_until_its_day(trips: Context) -> None:
    mine = grants_give(trips, "trips", **WORDS, for_="30 days")
    assert data.load("trips")["rider"].to_list() == ["ann", "bob", "ann", None]
    (read, *_) = data_reads(trips)
    assert (read.purpose, read.grant_id, read.pseudonymised) == ("late-warning", mine.grant_id, [])
    grants_revoke(trips, mine.grant_id)
    assert data.load("trips")["rider"][0] != "ann"
    grants_give(trips, "trips", **WORDS, reader="somebody else")
    assert data.load("trips")["rider"][0] != "ann"
    late = grants_give(trips, "trips", **WORDS, for_="1 day")
    with trips.home.write() as tx:
        state = ClockState(mode=ClockMode.REPLAY, replay_now=late.expires_at + DAY)
        projects.set_clock(tx, trips.project_id, state)
    assert data.load("trips")["rider"][0] != "ann"
    assert len(grants_list(trips)) == 3
    assert [each.reader for each in grants_list(trips, present=True)] == ["somebody else"]


def test_files_as_they_are_go_only_to_whom_it_was_granted(trips: Context) -> None:
    with pytest.raises(Refused, match="thrive grants give trips"):
        data.load("trips", form="path")
    with pytest.raises(Refused, match=r"trips@1 holds personal data \(rider\)"):
        checkout(trips, "trips", to=Path("out"))
    assert not Path("out").exists()
    grants_give(trips, "trips", **WORDS)
    assert checkout(trips, "trips", to=Path("out")).written == 1
    assert "ann" in (data.load("trips", form="path") / "trips.csv").read_text()


def test_what_a_grant_must_say(trips: Context) -> None:
    for wrong in ({**WORDS, "purpose": " "}, {**WORDS, "reason": ""}):
        with pytest.raises(UsageError, match="empty"):
            grants_give(trips, "trips", **wrong)
    with pytest.raises(Refused, match="may serve late-warning, not 'billing'"):
        grants_give(trips, "trips", purpose="billing", reason="r")
    with pytest.raises(NotFound, match="no personal column 'minutes'"):
        grants_give(trips, "trips", **WORDS, columns=["minutes"])


def test_on_a_server_nobody_grants_themselves(trips: Context) -> None:
    ann, eve = (
        Context(trips.home, Actor(name=name, roles=frozenset({Role.DATA_ENGINEER})))
        for name in ("ann", "eve")
    )
    with pytest.raises(Refused, match="may not grant themselves"):
        grants_give(ann, "trips", **WORDS)
    version = find_version(trips, "trips")

    def hidden() -> list[str]:
        with ann.read() as tx:
            return view_of(tx, ann, version, {}).hidden

    grants_give(trips.acting(ann.actor, "grants give"), "trips", **WORDS)
    assert hidden() == ["rider"]
    grants_give(eve, "trips", **WORDS, reader="ann")
    assert hidden() == []


def test_a_model_does_not_learn_from_pseudonyms_what_it_is_asked_in_values(trips: Context) -> None:
    version = find_version(trips, "trips")
    package = constant_package()
    digest = trips.home.blobs.put(package.manifest.to_bytes())
    contract = load_contract(trips.local_folder())
    said: list[str] = []
    blind = SeenData(trips, contract, said.append)
    blind.see(version)
    blind.see(version)
    assert len(said) == len(data_reads(trips)) == 1
    assert blind.told(version)["hidden"] == ["rider"]
    blind.refuse_model("delay", digest)
    named = msgspec.structs.replace(version, digest="0" * 64, columns=[
        msgspec.structs.replace(version.columns[0], name="wind", personal="health")
    ])  # fmt: skip
    blind.see(named)
    with pytest.raises(Refused, match=r"delay learned from pseudonyms in the place of wind"):
        blind.refuse_model("delay", digest)
    grants_give(trips, "trips", **WORDS)
    granted = SeenData(trips, contract, said.append)
    granted.see(version)
    assert granted.digest(version) == version.digest != blind.digest(version)


def derive(ctx: Context, reader: SeenData, made: pl.DataFrame) -> dict[str, Column]:
    """Add a frame as what a run made of what it read, and return the columns of the version."""
    path = ctx.local_folder() / "made.parquet"
    made.write_parquet(path)
    schema = {name: str(kind) for name, kind in made.schema.items()}
    derived = inherit(ctx, "made", schema, reader.origins(schema, {}))
    added = add_rows(ctx, path, name="made", derived=derived)
    return {column.name: column for column in find_version(ctx, "made", added.version).columns}


def test_what_a_run_makes_of_pseudonyms_keeps_their_label(trips: Context) -> None:
    contract = load_contract(trips.local_folder())
    blind = SeenData(trips, contract, print)
    blind.see(find_version(trips, "trips"))
    stand_in = pseudonym("ann", KEY)
    frame = pl.DataFrame({"rider": [stand_in], "who": [stand_in], "minutes": [3], "twice": [6]})
    found = derive(trips, blind, frame)
    assert (found["rider"].personal, found["rider"].asked) == ("name", False)
    assert (found["who"].proposed, found["who"].asked) == ("pseudonym", True)
    assert not found["minutes"].asked
    assert not found["twice"].asked
    confirm(trips, "made", ["rider=none"], reason="they agreed to be named")
    assert derive(trips, blind, frame.head(0))["rider"].personal == "none"


def test_what_a_run_computes_from_names_in_the_clear_is_asked_about(trips: Context) -> None:
    contract = load_contract(trips.local_folder())
    grants_give(trips, "trips", **WORDS)
    seeing = SeenData(trips, contract, print)
    version = find_version(trips, "trips")
    seeing.see(version)
    frame = pl.DataFrame({"rider": [3], "letters": [3], "minutes": [3]})
    found = derive(trips, seeing, frame)
    why = found["letters"].why
    assert (found["letters"].proposed, why) == ("name", "it was computed from rider of trips@1")
    assert (found["rider"].proposed, found["rider"].personal) == ("name", None)
    assert not found["minutes"].asked
    unread = seeing.origins(["letters"], {version.digest: ["minutes"]})
    assert unread == {"letters": []}


@pytest.mark.parametrize(
    ("values", "kind"),
    [([7, 7, None], pl.Int64), ([b"\xff\x00", b"\xff\x00", None], pl.Binary)],
    ids=["numbers", "bytes"],
)
def test_equal_values_of_any_type_have_equal_pseudonyms(values, kind) -> None:
    frame = pl.DataFrame({"who": pl.Series(values, dtype=kind), "n": [1, 2, 3]}).lazy()
    seen = pseudonymised(frame, ["who", "absent"], KEY).collect()
    assert seen["n"].to_list() == [1, 2, 3]
    assert seen["who"][0] == seen["who"][1] != seen["who"][2]
    other = pseudonymised(frame, ["who"], b"o" * 32).collect()
    assert other["who"][0] != seen["who"][0]


def test_lists_are_left_empty_and_a_pseudonym_stands_for_itself() -> None:
    frame = pl.DataFrame({"who": [["ann"], ["bob"]]}).lazy()
    assert pseudonymised(frame, ["who"], KEY).collect()["who"].to_list() == [None, None]
    once = pseudonym("ann", KEY)
    assert pseudonym(once, KEY) == once
    assert pseudonym(once[:-1], KEY) not in {once, once[:-1]}


def test_the_key_is_made_once_and_another_one_is_refused(
    trips: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pseudonym_key(trips.home, "dana")
    assert own == pseudonym_key(trips.home, "ben")
    assert (trips.home.folder / "pseudonym.key").stat().st_mode & 0o077 == 0
    with trips.read() as tx:
        (made,) = [
            each
            for each in audit.entries(tx, trips.project_id)
            if each.operation == "pseudonym key"
        ]
    assert (made.actor, made.detail["kept"]) == ("dana", "with the project")
    assert own.hex() not in str(made)
    monkeypatch.setenv("THRIVE_PSEUDONYM_KEY", KEY.hex())
    for use in (lambda: pseudonym_key(trips.home, "dana"), lambda: spellings("ann", trips.home)):
        with pytest.raises(Refused, match="is another key than the one of the project"):
            use()
    monkeypatch.setenv("THRIVE_PSEUDONYM_KEY", "short")
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        pseudonym_key(trips.home, "dana")


def test_a_key_that_is_kept_apart_is_stored_nowhere_and_missed_with_words(
    trips: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRIVE_PSEUDONYM_KEY", KEY.hex())
    assert pseudonym_key(trips.home, "dana") == KEY
    assert spellings("ann", trips.home) == ("ann", pseudonym("ann", KEY))
    assert not (trips.home.folder / "pseudonym.key").exists()
    monkeypatch.delenv("THRIVE_PSEUDONYM_KEY")
    with pytest.raises(Refused, match=r"lacks the key .* dana keeps it apart") as refused:
        pseudonym_key(trips.home, "ben")
    assert refused.value.hint == f"set THRIVE_PSEUDONYM_KEY as on the host {gethostname()}"


def test_a_host_s_own_key_of_before_becomes_the_project_s(trips: Context) -> None:
    keep_key(trips.home.folder, "pseudonym.key", KEY)
    assert pseudonym_key(trips.home, "dana") == KEY
    (trips.home.folder / "pseudonym.key").unlink()
    assert pseudonym_key(trips.home, "dana") == KEY, "as after a restore elsewhere"
    (trips.home.folder / "pseudonym.key").write_text((b"o" * 32).hex())
    assert spellings("ann", trips.home) == (
        "ann", pseudonym("ann", KEY), pseudonym("ann", b"o" * 32),
    )  # fmt: skip


def test_results_with_and_without_pseudonyms_are_told_apart(trips: Context) -> None:
    version = find_version(trips, "trips")
    with trips.read() as tx:
        view = view_of(tx, trips, version, {})
        open_view = view_of(tx, trips, version, {"rider": "none"})
    assert seen_digest(version, view) != seen_digest(version, open_view) == version.digest
    log_read(trips, version, open_view)
    assert data_reads(trips) == []


def test_every_command_says_alike_whether_a_version_may_be_trained_on(trips: Context) -> None:
    (trips.local_folder() / "mails.csv").write_text("id,mail\n1,ann@example.org\n2,b@example.org\n")

    def said() -> list[bool]:
        (line,) = (each for each in list_datasets(trips) if each.name == "mails")
        return [line.trainable, log(trips, "mails")[0].trainable, view(trips, "mails").trainable]

    assert not add(trips, "mails.csv", name="mails").trainable
    assert said() == [False] * 3
    confirm(trips, "mails@1", [], reason="they are addresses")
    assert said() == [True] * 3
    assert add(trips, "mails.csv", name="mails").trainable
