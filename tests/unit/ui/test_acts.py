"""Acts from pages: asked once more, by the browser that signed in, as the operation permits."""

import re
from html import unescape

import msgspec
import pytest
from tests.unit.ui.browser import Answer, ask
from tests.unit.ui.filled_home import CANDIDATE, MODEL, OTHER, FilledHome

from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.identifiers import new_id
from thrive.domain.monitoring import AlertState
from thrive.operations import Context
from thrive.store import audit, gates, holds, monitoring, releases, runs
from thrive.store.home import create_home
from thrive.ui import acts
from thrive.ui.app import pages_app
from thrive.ui.pages import today

SECRET = "of-this-browser"
COOKIE = {"cookie": f"thrive_ui_8200={SECRET}"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """A filled home that these tests may change."""
    folder = tmp_path_factory.mktemp("acted")
    home = create_home(folder, "flights")
    made = FilledHome(Context(home, local_actor("ana"), folder=folder, operation="test"))
    made.held = made.hold_release()
    yield made
    home.close()


@pytest.fixture(scope="module")
def app(own: FilledHome):
    return pages_app(own.context, SECRET)


def as_role(own: FilledHome, role: Role, name: str = "eve"):
    actor = Actor(name=name, roles=frozenset({role}))
    return pages_app(own.context.acting(actor, "page"), SECRET)


def form_of(answer: Answer) -> dict[str, str]:
    """Return the hidden fields of the form on a page."""
    assert answer.status == 200, answer.text
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text)
    return {name: unescape(value) for name, value in found}


def do(app, address: str, **filled: str) -> Answer:
    form = form_of(ask(app, address, headers=COOKIE)) | filled
    return ask(app, address.partition("?")[0], headers=COOKIE, form=form)


def test_a_decision_is_asked_once_more_recorded_and_said(own: FilledHome, app) -> None:
    alert = ask(app, f"/alerts/{own.notice_id}", headers=COOKIE)
    address = unescape(re.findall(r'href="(/act/alerts-decide[^"]+)"', alert.text)[0])
    asked = ask(app, address, headers=COOKIE)
    assert "carried out at once" in asked.text
    done = do(app, acts.address("alerts decide", alert=own.notice_id, action="accept"), reason="ok")
    assert done.status == 303
    assert done.headers["location"] == f"/alerts/{own.notice_id}?done=alerts-decide"
    after = ask(app, done.headers["location"], headers=COOKIE)
    assert "The decision is recorded." in after.text
    with own.context.read() as tx:
        found = monitoring.get_alert(tx, own.project, own.notice_id)
        made = monitoring.find_decisions(tx, own.project, own.notice_id)
        newest = audit.latest(tx, own.project, 5)
    assert found.state is not AlertState.OPEN
    assert [(each.actor, each.action, each.reason) for each in made] == [("ana", "accept", "ok")]
    assert any(each.operation == "alerts decide" and each.actor == "ana" for each in newest)


def test_what_the_evidence_speaks_against_is_said_before_it_is_done(own: FilledHome, app) -> None:
    with own.context.write("alert") as tx:
        alert = monitoring.get_alert(tx, own.project, own.alert_id)
        against = {"retrain": "no better <b>"}
        told = {**alert.evidence, "against": against}
        alert = msgspec.structs.replace(alert, alert_id=new_id(), evidence=told)
        monitoring.save_alert(tx, own.project, alert)
    plain = ask(app, acts.address("alerts decide", alert=alert.alert_id, action="review"))
    assert "speaks against" not in plain.text
    address = acts.address("alerts decide", alert=alert.alert_id, action="retrain")
    asked = ask(app, address, headers=COOKIE)
    assert "no better &lt;b&gt;" in asked.text
    assert "Decide all the same" in asked.text
    silent = form_of(asked) | {"reason": "try it"}
    del silent["yes"]
    assert ask(app, "/act/alerts-decide", headers=COOKIE, form=silent).status == 403
    assert do(app, address, reason="the gates will tell").status == 303
    page = ask(app, f"/alerts/{alert.alert_id}", headers=COOKIE).text
    assert "What spoke against it" in page
    assert "the gates will tell" in page


def test_what_somebody_moved_first_is_refused(own: FilledHome, app) -> None:
    address = acts.address("runs tag", run=own.run_id, key="stage")
    form = form_of(ask(app, address, headers=COOKIE)) | {"value": "mine"}
    assert do(app, address, value="theirs").status == 303
    late = ask(app, "/act/runs-tag", headers=COOKIE, form=form)
    assert late.status == 409
    assert "Somebody moved this first" in late.text
    with own.context.read() as tx:
        assert runs.get(tx, own.project, own.run_id).tags["stage"] == "theirs"


def test_a_held_release_is_rolled_back_from_today(own: FilledHome, app) -> None:
    page = ask(app, "/", headers=COOKIE)
    address = unescape(re.findall(r'href="(/act/releases-rollback[^"]+)"', page.text)[0])
    assert do(app, address, reason="the desk says so").headers["location"] == (
        "/?done=releases-rollback"
    )
    with own.context.read() as tx:
        release = releases.get(tx, own.project, own.held)
        table = releases.current_routing(tx, own.project, OTHER)
    assert release.state == "rolled back"
    assert table is not None
    assert [(each.version, each.share) for each in table.variants] == [(1, 1.0)]


def test_an_approval_is_given_in_the_name_of_who_gives_it(own: FilledHome) -> None:
    ben = as_role(own, Role.DATA_SCIENTIST, "ben")
    address = acts.address("approvals give", version=f"{CANDIDATE}@1", step="production")
    assert do(ben, address, reason="looks right").status == 303
    with own.context.read() as tx:
        given = gates.find_approvals(tx, own.project, CANDIDATE, 1)
    assert [(each.actor, each.reason) for each in given] == [("ben", "looks right")]


def test_whoever_takes_or_mutes_an_alert_is_seen_wherever_it_waits(own: FilledHome, app) -> None:
    assert do(app, acts.address("alerts acknowledge", alert=own.alert_id)).status == 303
    muted = acts.address("alerts mute", alert=own.alert_id)
    assert do(app, muted, until="2 days", reason="the feed is being mended").status == 303
    for path in ("/", "/alerts", f"/alerts/{own.alert_id}"):
        text = ask(app, path, headers=COOKIE).text
        assert re.search("At it</dt><dd>ana|ana is at it", text), path
        assert re.search("Muted</dt><dd>until|muted</span>", text), path
    assert "I take it" not in text
    assert "the feed is being mended" in text


def test_a_run_is_deleted_and_restored(own: FilledHome, app) -> None:
    with own.context.home.write() as tx:
        held = holds.find_holds(tx, own.project)
        for hold in held:
            holds.lift_hold(tx, own.project, hold.hold_id, by="tester", reason="over", at=1)
    assert do(app, acts.address("runs delete", run=own.run_id), reason="wrong data").status == 303
    assert own.run_id not in ask(app, "/runs", headers=COOKIE).text
    assert own.run_id in ask(app, "/runs?view=deleted", headers=COOKIE).text
    assert do(app, acts.address("runs restore", run=own.run_id)).status == 303
    with own.context.home.write() as tx:
        for hold in held:
            holds.add_hold(tx, own.project, msgspec.structs.replace(hold, hold_id=new_id()))
    assert own.run_id in ask(app, "/runs", headers=COOKIE).text
    note = "late files\n<b>bold</b>"
    assert do(app, acts.address("runs note", run=own.run_id), text=note).status == 303
    assert "late files\n&lt;b&gt;bold" in ask(app, f"/runs/{own.run_id}", headers=COOKIE).text


@pytest.mark.parametrize("role", sorted(Role))
def test_what_a_role_may_not_do_is_hidden_and_refused(own: FilledHome, role: Role) -> None:
    app = as_role(own, role)
    address = acts.address("releases rollback", model=MODEL)
    known = acts.acts()["releases-rollback"][1]
    shown = (
        address.replace("&", "&amp;") in ask(app, f"/models/{MODEL}/release", headers=COOKIE).text
    )
    assert shown is bool(known.role & {role})
    if not shown:
        asked = ask(app, address, headers=COOKIE)
        assert "may not do this" in asked.text
        assert '<form method="post"' not in asked.text
        page = acts.load(own.context, {"act": "releases-rollback", "model": MODEL})
        form = {"form": forged_key(), "seen": page.seen, "model": MODEL, "reason": "mine"}
        sent = ask(app, "/act/releases-rollback", headers=COOKIE, form=form)
        assert sent.status == 403
        assert "eve may not" in sent.text


def forged_key() -> str:
    from thrive.ui.forms import form_key

    return form_key(SECRET)


def test_forms_of_other_sessions_and_origins_are_refused(own: FilledHome, app) -> None:
    address = acts.address("runs tag", run=own.run_id, key="forged")
    form = form_of(ask(app, address, headers=COOKIE)) | {"value": "x"}
    for headers, sent in (
        ({}, form),
        ({"cookie": "thrive_ui_8200=guess"}, form),
        (COOKIE, {**form, "form": "0" * 32}),
        (COOKIE, {name: value for name, value in form.items() if name != "form"}),
        (COOKIE | {"origin": "http://evil.example"}, form),
        (COOKIE | {"origin": "null"}, form),
        (COOKIE | {"sec-fetch-site": "cross-site"}, form),
    ):
        assert ask(app, "/act/runs-tag", headers=headers, form=sent).status == 403
    with own.context.read() as tx:
        assert "forged" not in runs.get(tx, own.project, own.run_id).tags


def test_a_viewer_without_the_link_only_reads(own: FilledHome, app) -> None:
    page = ask(app, f"/runs/{own.run_id}")
    assert "/act/" not in page.text
    assert "only reading" in page.text
    wrong = ask(app, "/enter/guess")
    assert "set-cookie" not in wrong.headers
    entered = ask(app, f"/enter/{SECRET}")
    assert entered.headers["set-cookie"].startswith(f"thrive_ui_8200={SECRET}; HttpOnly")
    assert "samesite=strict" in entered.headers["set-cookie"].lower()


def test_bad_forms_get_one_clear_error(own: FilledHome, app) -> None:
    assert ask(app, "/act/doctor", headers=COOKIE).status == 404
    assert ask(app, "/act/runs-delete?run=00000000", headers=COOKIE).status == 404
    assert ask(app, f"/act/runs-delete?run={own.run_id}&x=1", headers=COOKIE).status == 400
    empty = do(app, acts.address("runs delete", run=own.run_id), reason=" ")
    assert empty.status == 400
    assert "The reason is empty." in empty.text
    away = do(
        app,
        acts.address("runs tag", run=own.run_id, key="k", back="//evil.example/"),
        value="v",
    )
    assert away.headers["location"].startswith("/?done=")


def test_each_role_sees_its_own_decisions_first(tmp_path) -> None:
    home = create_home(tmp_path, "flights")
    made = FilledHome(Context(home, local_actor("ana"), folder=tmp_path, operation="test"))
    made.held = made.hold_release()
    scientist = Actor(name="ben", roles=frozenset({Role.DATA_SCIENTIST}))
    decide = today.load(made.context.acting(scientist, "page")).decide
    assert [each.mine for each in decide] == sorted((each.mine for each in decide), reverse=True)
    assert {each.kind for each in decide if each.mine} == {"approval", "incident"}
    assert len({each.mine for each in decide}) == 2
    home.close()


def test_every_act_is_an_operation_that_writes() -> None:
    for act, operation in acts.acts().values():
        assert operation.writes, act.operation
        assert act.meaning.endswith(".")
        assert set(act.ask) <= {each.name for each in operation.parameters} | {"reason"}


def test_a_view_is_saved_found_by_all_and_removed(own: FilledHome, app) -> None:
    shown = ask(app, "/runs?q=metrics.roc_auc+%3E+0.5&columns=params.max_iter", headers=COOKIE)
    (address,) = re.findall(r'href="(/act/views-save[^"]+)"', shown.text)
    saved = do(app, unescape(address), name="good ones")
    assert saved.status == 303
    back = saved.headers["location"]
    assert back.startswith("/runs?q=metrics.roc_auc+%3E+0.5&columns=params.max_iter")
    reader = as_role(own, Role.AUDITOR)
    found = ask(reader, "/runs", headers=COOKIE).text
    (link,) = re.findall(r'<a href="(/runs\?[^"]+)" title="saved by ana"', found)
    assert ask(reader, unescape(link), headers=COOKIE).status == 200
    assert "views-remove" not in ask(reader, unescape(link), headers=COOKIE).text
    here = ask(app, unescape(link), headers=COOKIE).text
    assert "views-save" not in here
    (gone,) = re.findall(r'href="(/act/views-remove[^"]+)"', here)
    assert do(app, unescape(gone)).status == 303
    assert "good ones" not in ask(app, "/runs", headers=COOKIE).text


def test_an_incident_is_opened_its_hold_seen_and_its_report_recorded(own: FilledHome, app) -> None:
    address = acts.address("incidents open", model=f"{MODEL}@2")
    done = do(app, address, what="a wrong warning", kind="serious")
    assert done.status == 303
    page = ask(app, f"/models/{MODEL}/duties", headers=COOKIE).text
    assert "a wrong warning" in page
    assert "Decided without a person" in page
    assert page.count("/act/holds-lift") == 2
    report = next(
        unescape(each)
        for each in re.findall(r'href="(/act/incidents-report[^"]+)"', page)
        if own.incident_id in each
    )
    assert do(app, report, authority="DPC", cause="the feed").status == 303
    after = ask(app, "/governance", headers=COOKIE).text
    assert "to DPC" in after
    assert "/act/incidents-report" not in ask(as_role(own, Role.AUDITOR), "/governance").text


def test_a_duty_is_excepted_for_a_while_and_owed_again(own: FilledHome, app) -> None:
    address = acts.address("exceptions grant", model=MODEL, duty="gdpr-5-1b-purpose")
    assert "thrive exceptions grant" in ask(app, address, headers=COOKIE).text
    wrong = do(app, address, reason="in work", for_="soon")
    assert wrong.status == 400
    done = do(app, address, reason="in work", for_="30 days")
    assert done.status == 303, done.text
    page = ask(app, f"/models/{MODEL}/duties", headers=COOKIE).text
    assert "gdpr-5-1b-purpose" in page
    for each in re.findall(r'href="(/act/exceptions-revoke[^"]+)"', page):
        assert do(app, unescape(each)).status == 303
    assert "Revoke" not in ask(app, f"/models/{MODEL}/duties", headers=COOKIE).text
