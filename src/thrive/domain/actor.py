"""Who acts: people by role, machines by role, and what a role may do."""

import os
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What somebody, or a machine, is to a project."""

    DATA_ENGINEER = "data-engineer"
    DATA_SCIENTIST = "data-scientist"
    ML_ENGINEER = "ml-engineer"
    PLATFORM = "platform"
    AUDITOR = "auditor"
    CI = "ci"
    SERVE = "serve"


ANYONE = frozenset(Role)
"""May read: everybody with a token of the project."""
PEOPLE = frozenset({Role.DATA_ENGINEER, Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.PLATFORM})
"""The four roles of people who build and keep models."""
APPROVERS = PEOPLE - {Role.PLATFORM}
"""May consent to a version: who keeps the platform decides neither on data nor on models."""
AUTHORS = APPROVERS | {Role.CI}
"""May read rows, compute features and write what a project says: whoever works on its models."""
CURATORS = AUTHORS - {Role.ML_ENGINEER}
"""May add data, and say what it is."""
BUILDERS = AUTHORS - {Role.DATA_ENGINEER}
"""May run pipelines and register versions."""
RELEASERS = frozenset({Role.ML_ENGINEER})
"""May move live traffic."""
STOPPERS = RELEASERS | {Role.PLATFORM}
"""May stop what is live at once, hold what is on its way, and run serving hosts."""
HOSTS = STOPPERS | {Role.SERVE}
"""May serve: the agents of serving hosts, and whoever runs them."""
REPORTERS = AUTHORS | {Role.SERVE}
"""May report what was predicted and what really happened."""
STEWARDS = frozenset({Role.DATA_ENGINEER})
"""May let others read personal data, and hand a person what is known of them."""
ERASERS = frozenset({Role.DATA_ENGINEER, Role.PLATFORM})
"""May erase a person, and forbid deletion."""
KEEPERS = frozenset({Role.PLATFORM})
"""May administer a project: clock, tokens, backups."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who calls an operation: a name and the roles it holds in the project."""

    name: str
    roles: frozenset[Role]


def local_actor(name: str) -> Actor:
    """Return the owner of a local folder, who holds every role in it."""
    return Actor(name=name, roles=frozenset(Role))


def local_user() -> Actor:
    """Return the user of this machine as the owner of a local folder."""
    import getpass

    try:
        return local_actor(getpass.getuser())
    except (KeyError, OSError):  # a container's user may have no name
        return local_actor(f"uid-{os.getuid()}")


CONTROLLER = Actor(name="thrive-controller", roles=frozenset(Role))
"""The controller itself: it acts only where the contract in force told it to."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """The key of one person or machine to one project; its secret is known to its holder alone.

    Attributes:
        project_id: the only project it opens.
        token_id: names it in lists and logs.
        name: whom the audit chain names.
        roles: what its holder may do.
        digest: BLAKE3 of the secret.
        created_at: machine time; a replayed clock opens no door.
        expires_at: machine time from which it is refused, None for never.
        revoked_at: machine time since which it is refused, None while it is good.
    """

    project_id: str
    token_id: str
    name: str
    roles: list[Role]
    digest: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def good(self, now: int) -> bool:
        """Tell whether the token opens its project at the machine time `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def actor(self) -> Actor:
        """Return who acts with this token."""
        return Actor(name=self.name, roles=frozenset(self.roles))


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in; its secret is known to the browser alone.

    Attributes:
        project_id: the project it shows.
        session: BLAKE3 of the secret.
        token_id: the token it was begun with, which may be revoked; empty for a server's own.
        actor: whom an identity provider named, with the roles given by its groups then.
        server: BLAKE3 of the server's own token, if it was begun with that: no other takes it.
        until: machine time from which it is refused.
    """

    project_id: str
    session: str
    token_id: str
    server: str
    until: int
    actor: Actor | None = None
