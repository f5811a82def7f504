"""Teams: prove that a message reaches them, by having them answer it."""

import base64
import hashlib
import hmac

import msgspec

from thrive.contract.parse import load
from thrive.domain.actor import PEOPLE
from thrive.domain.errors import ContractGap, NotFound, Refused
from thrive.domain.project import TeamContact
from thrive.flows.messages import is_answered_at_once, send
from thrive.operations import Context, Kind, operation
from thrive.store import projects
from thrive.store.signing import signing_key

_CODE_BYTES = 5


class TestSent(msgspec.Struct, frozen=True, kw_only=True):
    """A test message that was sent.

    Attributes:
        team: to whom.
        channel: where to.
        answered: nobody need answer: the message stands where its reader looks.
    """

    __test__ = False

    team: str
    channel: str
    answered: bool

    @property
    def next_hint(self) -> str:
        """What to type next."""
        return "thrive check" if self.answered else f"thrive teams confirm {self.team} CODE"


@operation("teams test", kind=Kind.CLIENT, role=PEOPLE, writes=True)
def teams_test(ctx: Context, team: str) -> TestSent:
    """Send a test message to a team's channel, with the code that the team answers with.

    Production is blocked until each team the contract names has answered once: that a mail server
    or a web hook took a message does not mean that anybody reads it. A `file:` or `console:`
    channel needs no answer.

    Args:
        team: a team of thrive.toml.

    Raises:
        NotFound: the contract declares no such team.
        ContractGap: the team has no channel.
        StoreUnavailable: the message was not taken.

    Examples:
        thrive teams test data-platform
    """
    channel = _channel(ctx, team)
    answered = is_answered_at_once(channel)
    subject = f"Thrive test message to {team}"
    body = f"{ctx.actor.name} checks that project {ctx.home.project.name} reaches you here."
    if not answered:
        body += f"\nAnswer with: thrive teams confirm {team} {_code(ctx, team, channel)}"
    send(channel, subject, body, ctx.local_folder())
    if answered:
        _reached(ctx, team, channel)
    return TestSent(team=team, channel=channel, answered=answered)


@operation("teams confirm", kind=Kind.CLIENT, role=PEOPLE, writes=True, next_hint="thrive check")
def teams_confirm(ctx: Context, team: str, code: str) -> TeamContact:
    """Answer a test message: the team's channel counts from now on, until it is changed.

    Args:
        team: a team of thrive.toml.
        code: what the message says.

    Raises:
        NotFound: the contract declares no such team.
        ContractGap: the team has no channel.
        Refused: it is not the code that was sent to this channel.

    Examples:
        thrive teams confirm data-platform K5QW2ZTA
    """
    channel = _channel(ctx, team)
    if not hmac.compare_digest(code.strip().upper().encode(), _code(ctx, team, channel).encode()):
        raise Refused(
            f"{code[:40]!r} is not the code that was sent to the channel of {team!r}.",
            f"thrive teams test {team}",
        )
    return _reached(ctx, team, channel)


def _channel(ctx: Context, team: str) -> str:
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
    return channel


def _code(ctx: Context, team: str, channel: str) -> str:
    """Return the code of a team at a channel; only who holds this home's key can tell it."""
    said = f"{ctx.project_id}\n{team}\n{channel}".encode()
    digest = hashlib.blake2b(
        said, key=signing_key(ctx.home.folder), person=b"thrive teams", digest_size=_CODE_BYTES
    )
    return base64.b32encode(digest.digest()).decode()


def _reached(ctx: Context, team: str, channel: str) -> TeamContact:
    contact = TeamContact(team=team, channel=channel, arrived_at=ctx.now())
    with ctx.write(f"team:{team}", channel=channel) as tx:
        projects.add_contact(tx, ctx.project_id, contact)
    return contact
