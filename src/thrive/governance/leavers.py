"""Who is named and gone: people without a good token, teams whom messages do not reach any more.

A name that never had a token says nothing: alone in a folder nobody needs one, and a team goes by
its channel.
"""

from collections.abc import Iterator

import msgspec

from thrive.contract.schema import Contract, ModelTerms
from thrive.domain.clock import machine_now
from thrive.domain.project import JobState
from thrive.store import jobs, projects, tokens
from thrive.store.database import Tx


class Leaver(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a contract names and who is not there any more.

    Attributes:
        name: the person or the team.
        parts: what they are named as.
        why: what shows that they are gone, to stand after their name.
        since: when that began, UTC microseconds of the machine.
        fix: what to type when they are still there; else another is to be named.
    """

    name: str
    parts: list[str]
    why: str
    since: int
    fix: str

    @property
    def words(self) -> str:
        """What is wrong, in a sentence without its end."""
        return f"{self.name} ({', '.join(self.parts)}) {self.why}"


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """What a project knows of who is gone.

    Attributes:
        people: since when each name has had no good token.
        channels: since when messages to each channel have failed.
    """

    people: dict[str, int] = {}
    channels: dict[str, int] = {}

    def of(self, contract: Contract, terms: ModelTerms) -> list[Leaver]:
        """Return who of those that a model's terms name is gone.

        Args:
            contract: which declares the teams.
            terms: what it says of the model.
        """
        parts: dict[str, list[str]] = {}
        for name, part in _named(terms):
            if name and part not in parts.setdefault(name, []):
                parts[name].append(part)
        found = (self._look(contract, name, said) for name, said in parts.items())
        return [each for each in found if each is not None]

    def _look(self, contract: Contract, name: str, parts: list[str]) -> Leaver | None:
        if name in self.people:
            return Leaver(
                name=name,
                parts=parts,
                why="has no rights any more: every token of that name is revoked or has ended",
                since=self.people[name],
                fix=f"thrive tokens create {name} --role ROLE",
            )
        channel = contract.team[name].channel if name in contract.team else ""
        if channel in self.channels:
            return Leaver(
                name=name,
                parts=parts,
                why="is not reached any more: the last message to its channel failed",
                since=self.channels[channel],
                fix=f"thrive teams test {name}",
            )
        return None


def find_gone(tx: Tx, project_id: str) -> Gone:
    """Return who is gone in a project, as far as its tokens and its messages tell."""
    return Gone(people=_people(tx, project_id), channels=_channels(tx, project_id))


def _named(terms: ModelTerms) -> Iterator[tuple[str, str]]:
    yield terms.owner, "owner"
    yield terms.deputy, "deputy"
    yield terms.business_owner, "business owner"
    yield from ((name, "approver") for name in terms.approvers)
    for cause, action in terms.actions.items():
        if action.decide not in {terms.owner, terms.deputy}:
            yield action.decide, f"decides on {cause.value}"


def _people(tx: Tx, project_id: str) -> dict[str, int]:
    now = machine_now()
    ended: dict[str, int] = {}
    good: set[str] = set()
    for each in tokens.every(tx, project_id):
        if each.good(now):
            good.add(each.name)
        moments = [at for at in (each.revoked_at, each.expires_at) if at is not None]
        ended[each.name] = max(ended.get(each.name, 0), min(moments, default=0))
    return {name: at for name, at in ended.items() if name not in good}


def _channels(tx: Tx, project_id: str) -> dict[str, int]:
    """Return the channels whose newest message failed and where no test arrived since."""
    newest: dict[str, tuple[bool, int]] = {}
    for each in jobs.ended(tx, project_id, jobs.MESSAGES):
        channel, at = str(each.arguments.get("channel", "")), each.finished_at or each.created_at
        newest.setdefault(channel, (each.state is JobState.FAILED, at))
    for contact in projects.contacts(tx, project_id):
        failed, at = newest.get(contact.channel, (False, 0))
        if failed and contact.arrived_at > at:
            del newest[contact.channel]
    return {channel: at for channel, (failed, at) in newest.items() if failed}
