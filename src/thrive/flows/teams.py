"""Teams: prove that a message reaches them."""

from thrive.contract.parse import load
from thrive.domain.actor import PEOPLE
from thrive.domain.errors import ContractGap, NotFound
from thrive.domain.project import TeamContact
from thrive.flows.messages import send
from thrive.operations import Context, Kind, operation
from thrive.store import projects


@operation("teams test", kind=Kind.CLIENT, role=PEOPLE, writes=True, next_hint="thrive check")
def teams_test(ctx: Context, team: str) -> TeamContact:
    """Send a test message to a team's channel and remember that it arrived.

    Production is blocked until each team the contract names was reached once.

    Args:
        team: a team of thrive.toml.

    Raises:
        NotFound: the contract declares no such team.
        ContractGap: the team has no channel.
        StoreUnavailable: the message was not taken.

    Examples:
        thrive teams test data-platform
    """
    declared = load(ctx.local_folder()).contract.team
    if team not in declared:
        raise NotFound(
            f"thrive.toml declares no team {team!r}.", f'add [team.{team}] with channel = "..."'
        )
    channel = declared[team].channel
    if not channel:
        raise ContractGap(
            f"Team {team!r} has no channel.", f'write channel = "mailto:..." in [team.{team}]'
        )
    subject = f"Thrive test message to {team}"
    body = f"{ctx.actor.name} checks that project {ctx.home.project.name} reaches you here."
    send(channel, subject, body, ctx.local_folder())
    contact = TeamContact(team=team, channel=channel, arrived_at=ctx.now())
    with ctx.write(f"team:{team}", channel=channel) as tx:
        projects.add_contact(tx, ctx.project_id, contact)
    return contact
