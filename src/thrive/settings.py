"""Settings: one typed table of what can be set for a machine, each by one environment variable.

What belongs to a project stands in `thrive.toml`; only what differs between machines stands here.
`docs/reference/settings.md` is generated from this table.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from thrive.domain.clock import SECOND, parse_time
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import is_digest
from thrive.variables import variable


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its type, its default and one line of help."""

    allow_pickles: Annotated[
        str,
        Meta(
            description="The packages that may run code when they are loaded, separated by spaces: "
            "`MODEL=DIGEST`, with all 64 digits of the package. `thrive models show` tells them."
        ),
    ] = ""
    channels: Annotated[
        str,
        Meta(
            description="The addresses behind `apprise:NAME` channels, separated by spaces: "
            "`desk=slack://TokenA/TokenB/TokenC ops=msteams://...`."
        ),
    ] = ""
    connections: Annotated[
        str,
        Meta(
            description="The databases that SQL sources read, separated by spaces: "
            "`warehouse=postgresql://user@host/db lake=sqlite:///data/lake.db`."
        ),
    ] = ""
    debug: Annotated[
        bool, Meta(description="Show the Python traceback of an unexpected error.")
    ] = False
    durability: Annotated[
        Literal["normal", "full"],
        Meta(
            description="What a logged metric survives: `normal`, the end of any process at once "
            "and a power cut a second later; `full`, both at once. State changes are `full`."
        ),
    ] = "normal"
    gate_keys: Annotated[
        str,
        Meta(
            description="The public keys that verdicts are trusted from, separated by spaces; "
            "empty for any. `thrive gates verify` names the key of a verdict."
        ),
    ] = ""
    lease_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long a worker holds a job between two reports.")
    ] = 30.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="From which level on servers and workers write log lines."),
    ] = "info"
    mail_from: Annotated[
        str, Meta(description="The address that messages to teams are sent from.")
    ] = "thrive@localhost"
    model_keys: Annotated[
        str,
        Meta(
            description="The public keys that must have sealed a version before it is loaded here, "
            "separated by spaces; `KEY@2027-01-01` for one whose later seals are not trusted; "
            "empty for any. `thrive models verify` names the key of a version."
        ),
    ] = ""
    oidc_client: Annotated[
        str, Meta(description="The name by which the identity provider knows this server.")
    ] = ""
    oidc_issuer: Annotated[
        str,
        Meta(
            description="The identity provider that people sign in with (OpenID Connect), as it "
            "names itself: `https://accounts.example.org`; empty for tokens alone."
        ),
    ] = ""
    oidc_roles: Annotated[
        str,
        Meta(
            description="What groups of the identity provider may do, separated by spaces: "
            "`GROUP=ROLE` in the server's own project, `GROUP=PROJECT/ROLE` in another; the group "
            "`*` is everybody who signs in."
        ),
    ] = ""
    oidc_secret: Annotated[
        str,
        Meta(
            description="The secret shared with the identity provider; empty for a public client."
        ),
    ] = ""
    online_store: Annotated[
        str,
        Meta(
            description="Where the newest feature values are kept for serving: "
            "`postgresql://user@host/database`, `redis://host:6379/0`; a file in the home if empty."
        ),
    ] = ""
    openlineage: Annotated[
        str,
        Meta(
            description="Where OpenLineage events go when no place is named: a file, or the "
            "`http(s)://` address of a catalogue."
        ),
    ] = ""
    pseudonym_key: Annotated[
        str,
        Meta(
            description="The key of pseudonyms, 64 hexadecimal digits, where a team keeps it apart "
            "from its database: the same on every host. A row of the project if empty."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meta(
            description="The address of this server as browsers see it, if a gateway stands before "
            "it: `https://thrive.example.org`."
        ),
    ] = ""
    ray_address: Annotated[
        str,
        Meta(
            description="The Ray cluster of `--engine ray` when no address is given: "
            "`ray://host:10001`, `host:6379`; that of this machine if empty."
        ),
    ] = ""
    requests_per_second: Annotated[
        float,
        Meta(
            ge=0,
            description="How many requests a second one token (or one address, without any) may "
            "send to a server for long; more are answered 429 with `Retry-After`. 0 for no limit.",
        ),
    ] = 5000.0
    seal_seconds: Annotated[
        float,
        Meta(
            gt=0, description="How old a part of the prediction log becomes before it is shipped."
        ),
    ] = 60.0
    signing_key: Annotated[
        str,
        Meta(
            description="The key that verdicts, seals and the audit chain are signed with, 64 "
            "hexadecimal digits, so that every host and every CI job signs as one; a file in the "
            "home if empty."
        ),
    ] = ""
    smtp_url: Annotated[
        str,
        Meta(description="The mail server: `smtp://user:password@host:587`, or `smtps://...`."),
    ] = ""
    text_model: Annotated[
        str,
        Meta(
            description="The spaCy model by which Presidio (the extra `presidio`) knows people's "
            "names in free text, `en_core_web_sm` or a folder; its patterns alone if empty."
        ),
    ] = ""
    token: Annotated[str, Meta(description="The token that clients send to a server.")] = ""
    webhook_hosts: Annotated[
        str,
        Meta(
            description="Hosts of your own network that webhooks and lineage may be sent to, also "
            "without TLS, separated by spaces; public hosts are reached by https alone."
        ),
    ] = ""

    @property
    def seal_age(self) -> int:
        """`seal_seconds` in microseconds: writers close a segment of the log of this age.

        One that could not be closed by then is sealed while open.
        """
        return round(self.seal_seconds * SECOND)

    def allowed_pickles(self) -> dict[str, frozenset[str]]:
        """Return `allow_pickles` as the digests of each model.

        Raises:
            UsageError: a part is not MODEL=DIGEST.
        """
        found: dict[str, frozenset[str]] = {}
        for part in self.allow_pickles.split():
            model, mark, digest = part.partition("=")
            if not mark or not model or not is_digest(digest):
                raise UsageError(
                    f"{variable('allow_pickles')} holds {part[:100]!r}, which is no MODEL=DIGEST.",
                    f"{variable('allow_pickles')}='flight-delay=<the 64 digits of the package>'",
                )
            found[model] = found.get(model, frozenset()) | {digest}
        return found

    def trusted_model_keys(self) -> dict[str, int | None]:
        """Return `model_keys`, each with the moment at which it ends.

        Raises:
            UsageError: a part is no key, or no moment.
        """
        found: dict[str, int | None] = {}
        for part in self.model_keys.lower().split():
            key, mark, end = part.partition("@")
            if not is_digest(key):
                raise UsageError(
                    f"{variable('model_keys')} holds {part[:100]!r}, which is no public key.",
                    "give the 64 digits that `thrive models verify` names",
                )
            found[key] = parse_time(end.upper()) if mark else None
        return found

    def trusted_keys(self) -> frozenset[str]:
        """Return `gate_keys` one by one; none where every key is trusted."""
        return frozenset(self.gate_keys.lower().split())

    def own_hosts(self) -> frozenset[str]:
        """Return `webhook_hosts` one by one."""
        return frozenset(self.webhook_hosts.lower().split())

    def named_connections(self) -> dict[str, str]:
        """Return `connections` by name; the password of an address may stand in PGPASSWORD.

        Raises:
            UsageError: a part is not NAME=ADDRESS.
        """
        return _named("connections", self.connections, "warehouse=postgresql://user@host/db")

    def named_channels(self) -> dict[str, str]:
        """Return `channels` by name.

        Raises:
            UsageError: a part is not NAME=ADDRESS.
        """
        return _named("channels", self.channels, "desk=slack://TokenA/TokenB/TokenC")


def _named(setting: str, text: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split():
        name, mark, address = part.partition("=")
        if not mark or "://" not in address:
            raise UsageError(
                f"{variable(setting)} names {name!r} without an address.",
                f"{variable(setting)}='{example}'",
            )
        found[name] = address
    return found


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process.

    Raises:
        UsageError: a variable holds a value of another type.
    """
    given = {
        name: environment[variable(name)]
        for name in Settings.__struct_fields__
        if environment.get(variable(name))
    }
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        name = variable(place.rstrip("`"))
        raise UsageError(
            f"{name}={environment.get(name, '')!r}: {what}.", f"set {name} to such a value"
        ) from None
