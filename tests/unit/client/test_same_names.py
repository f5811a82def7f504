"""One scenario through both doors: a folder, and a server in front of such a folder."""

import pytest
from tests.rest import LOCAL_TOKEN, make_app, running

import thrive
from thrive.client.remote import connect
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.operations import Kind


@pytest.fixture(params=["folder", "server"])
def workspace(request, home, tmp_path):
    if request.param == "folder":
        (tmp_path / "thrive.toml").write_text("contract = 1\n")
        with thrive.open(tmp_path) as opened:
            yield opened
        return
    app = make_app(home)
    with running(app) as url, connect(url, LOCAL_TOKEN) as connected:
        yield connected


def test_values_have_the_same_types_and_content(workspace):
    created = workspace.tokens.create("ana", role=["ml-engineer", "auditor"], expires="90 days")
    assert type(created).__name__ == "CreatedToken"
    assert [role.value for role in created.roles] == ["auditor", "ml-engineer"]
    listed = workspace.tokens.list()
    assert [(line.name, line.good, type(line.created_at)) for line in listed] == [
        ("ana", True, int)
    ]
    revoked = workspace.tokens.revoke(listed[0].token_id)
    assert revoked.good is False
    page = workspace.audit.list(limit=1)
    assert (page.items[0].operation, page.next) == ("tokens revoke", "2")
    second = workspace.audit.list(limit=5, after=page.next)
    assert [entry.operation for entry in second.items] == ["tokens create"]
    assert second.next is None
    assert workspace.audit.verify().entries == 2
    assert [change.kind for change in workspace.changes.list().items] == [
        "project",
        "token",
        "token",
    ]


def test_the_feed_is_followed(workspace):
    workspace.tokens.create("ana", role=["auditor"])
    following = workspace.changes.stream(after=0)
    assert [next(following).kind for _ in range(2)] == ["project", "token"]
    following.close()


def test_a_release_that_never_was_is_not_watched(workspace):
    with pytest.raises(NotFound, match="never released"):
        next(workspace.releases.watch("flight-delay"))


def test_the_chain_is_exported_and_the_file_verified(workspace, tmp_path):
    workspace.tokens.create("ana", role=["auditor"])
    assert workspace.audit.export(to=tmp_path / "chain.jsonl").entries == 1
    assert workspace.audit.verify(file=tmp_path / "chain.jsonl").entries == 1


def test_errors_are_of_the_same_class_with_the_same_words(workspace):
    with pytest.raises(NotFound) as missing:
        workspace.jobs.show("0" * 32)
    assert (missing.value.what, missing.value.hint) == (
        f"There is no job '{'0' * 32}'.",
        "thrive jobs list",
    )
    workspace.tokens.create("ana", role=["ci"])
    with pytest.raises(Conflict, match="'ana' already"):
        workspace.tokens.create("ana", role=["ci"])
    with pytest.raises(UsageError, match="king"):
        workspace.tokens.create("ben", role=["king"])


def test_wrong_calls_are_told_before_anything_is_sent(workspace):
    with pytest.raises(UsageError, match="needs 'job_id'"):
        workspace.jobs.show()
    with pytest.raises(UsageError, match="cannot take 'speed'"):
        workspace.jobs.list(speed=3)
    with pytest.raises(AttributeError, match="there is no 'nothing'"):
        workspace.nothing.list()


def test_both_doors_offer_the_same_names(home, tmp_path):
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    with thrive.open(tmp_path) as local, connect("http://127.0.0.1:9", "t") as remote:
        names = [name for name in dir(local) if name not in dir(type(local))]
        assert set(names) - {"_operations", "_context"} == {
            name for name in dir(remote) if name not in dir(type(remote))
        } - {"_invoker"}
        assert "changes" in names
        assert dir(local.runs) == dir(remote.runs)


def test_kinds_are_known_without_a_server():
    with connect("http://127.0.0.1:9", "t") as remote:
        assert remote._invoker.operations["changes stream"].kind is Kind.STREAM
