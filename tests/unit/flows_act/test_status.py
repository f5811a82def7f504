"""The one screen on a project, of a model that was live and no longer is."""

from thrive.domain.model import Model
from thrive.domain.release import RoutingTable, Variant
from thrive.flows.status import status
from thrive.operations import Context
from thrive.store import models, releases


def test_after_a_rollback_to_nothing_it_says_what_answers(context: Context) -> None:
    home = context.home
    with home.write() as tx:
        models.save(tx, home.project_id, Model(name="m", owner="o", purpose="p", created_at=0))
    assert [(one.health, one.why) for one in status(context).models] == [("not live", "")]
    for revision, variants in enumerate([[Variant(version=1, package="a" * 64, share=1.0)], []]):
        table = RoutingTable(
            model="m",
            revision=revision + 1,
            variants=variants,
            fallback=0.6,
            salt="s",
            at=revision,
            reason="wrong warnings",
            actor="tester",
        )
        with context.observe("routing:m") as tx:
            releases.move_routing(tx, home.project_id, table, revision)
    shown = status(context).models[0]
    assert (shown.live, shown.health) == ("", "not live")
    assert shown.why == "No version answers, the fallback 0.6 does: wrong warnings."
