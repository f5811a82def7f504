"""Who acts: people by role, machines by role, and what a role may do."""

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
BUILDERS = PEOPLE | {Role.CI}
"""May add data, run pipelines and register versions."""
RELEASERS = frozenset({Role.ML_ENGINEER, Role.PLATFORM})
"""May move live traffic."""
REPORTERS = BUILDERS | {Role.SERVE}
"""May report what was predicted and what really happened."""
KEEPERS = frozenset({Role.PLATFORM})
"""May administer a project: clock, tokens, backups."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who calls an operation: a name and the roles it holds in the project."""

    name: str
    roles: frozenset[Role]


def local_actor(name: str) -> Actor:
    """Return the owner of a local folder, who holds every role in it."""
    return Actor(name=name, roles=frozenset(Role))


CONTROLLER = Actor(name="thrive-controller", roles=frozenset(Role))
"""The controller itself: it acts only where the contract in force told it to."""
