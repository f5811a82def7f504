"""An identity provider that speaks OpenID Connect: where to send a browser, and whom it sent back.

The authorization code flow with PKCE (RFC 7636, S256), with or without a client secret. What the
provider publishes of itself is read when it is first needed, and read again after an hour.
"""

import base64
import hashlib
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from thrive.domain.actor import Actor, Role
from thrive.domain.errors import Refused, StoreUnavailable, UsageError
from thrive.server.id_tokens import Expected, claims_of
from thrive.settings import Settings
from thrive.variables import variable

TIMEOUT_S = 10.0
MOST_BYTES = 1 << 20
REMEMBERED_S = 3600.0
KEYS_AGAIN_S = 30.0
"""How soon keys are read again for a token that none of those known has signed."""
SCOPE = "openid profile email"
EVERYBODY = "*"
LONGEST_NAME = 200


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in on its way, kept by the browser alone.

    Attributes:
        state: returned by the provider with the code.
        nonce: returned in the ID token.
        verifier: proves that who brings the code asked for it.
        target: the page to go on to.
        project: the name of the project that is to be opened, empty for the first there is.
    """

    state: str
    nonce: str
    verifier: str
    target: str
    project: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What members of a group are: a role, in a project or in the server's own (empty)."""

    group: str
    role: Role
    project: str = ""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    id_token: str
    access_token: str = ""


class Provider:
    """The provider that the settings name.

    Args:
        settings: of this process.

    Raises:
        UsageError: a setting is missing or has another form.
    """

    def __init__(self, settings: Settings) -> None:
        self._issuer = _checked_issuer(settings.oidc_issuer)
        self._client = settings.oidc_client
        self._secret = settings.oidc_secret
        self.grants = read_grants(settings.oidc_roles)
        if not self._client:
            raise UsageError(
                "The identity provider knows us by no name.", f"set {variable('oidc_client')}"
            )
        self._published: tuple[float, Published] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])

    def ask(self, target: str, project: str) -> Asked:
        """Return a new sign-in."""
        return Asked(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            target=target,
            project=project,
        )

    def address(self, asked: Asked, redirect: str) -> str:
        """Return where a browser is sent to sign in.

        Raises:
            StoreUnavailable: the provider does not answer.
        """
        endpoint = self._metadata().authorization_endpoint
        challenge = hashlib.sha256(asked.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": redirect,
            "scope": SCOPE,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return endpoint + ("&" if "?" in endpoint else "?") + urlencode(query)

    def redeem(self, code: str, asked: Asked, redirect: str) -> dict[str, Any]:
        """Return the claims of whoever signed in, for the code that the provider sent.

        Raises:
            Refused: the provider does not take the code, or its token is not to be believed.
            StoreUnavailable: the provider does not answer.
        """
        found = self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": asked.verifier,
        }
        headers = self._authenticated(form, found)
        body = _fetch(found.token_endpoint, urlencode(form).encode(), headers)
        tokens = _read(body, _Tokens, found.token_endpoint)
        expected = Expected(issuer=self._issuer, client=self._client, nonce=asked.nonce)
        claims = self._claims(tokens.id_token, expected, found)
        return self._with_more(claims, tokens.access_token, found)

    def _authenticated(self, form: dict[str, str], found: Published) -> dict[str, str]:
        """Return the headers that prove who we are, or put it into the form."""
        if not self._secret:
            form["client_id"] = self._client
            return {}
        if "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            pair = f"{quote(self._client, safe='')}:{quote(self._secret, safe='')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form |= {"client_id": self._client, "client_secret": self._secret}
        return {}

    def _claims(self, token: str, expected: Expected, found: Published) -> dict[str, Any]:
        read_at, keys = self._keys
        old = time.monotonic() - read_at
        if old < REMEMBERED_S:
            try:
                return claims_of(token, keys, expected, time.time())
            except Refused:
                if old < KEYS_AGAIN_S:
                    raise
        listed = _read(_fetch(found.jwks_uri), dict[str, Any], found.jwks_uri).get("keys")
        fresh = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
        self._keys = (time.monotonic(), cast("list[dict[str, Any]]", fresh))
        return claims_of(token, self._keys[1], expected, time.time())

    def _with_more(self, claims: dict[str, Any], access: str, found: Published) -> dict[str, Any]:
        """Return the claims, with those of the same person that the provider tells when asked."""
        if not access or not found.userinfo_endpoint:
            return claims
        body = _fetch(found.userinfo_endpoint, headers={"Authorization": f"Bearer {access}"})
        more = _read(body, dict[str, Any], found.userinfo_endpoint)
        return {**more, **claims} if more.get("sub") == claims["sub"] else claims

    def _metadata(self) -> Published:
        if self._published and time.monotonic() - self._published[0] < REMEMBERED_S:
            return self._published[1]
        place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = _read(_fetch(place), Published, place)
        if found.issuer != self._issuer:
            raise Refused(
                f"The provider calls itself {found.issuer[:200]!r}.",
                f"set {variable('oidc_issuer')} to that if it is right",
            )
        for endpoint in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            _checked_issuer(endpoint)
        self._published = (time.monotonic(), found)
        return found

    def rights(self, claims: Mapping[str, Any]) -> dict[str, Actor]:
        """Return who somebody is in each project, by its name; empty for the server's own."""
        groups = {EVERYBODY, *_texts(claims.get("groups")), *_texts(claims.get("roles"))}
        roles: dict[str, set[Role]] = {}
        for grant in self.grants:
            if grant.group in groups:
                roles.setdefault(grant.project, set()).add(grant.role)
        name = name_of(claims)
        return {place: Actor(name=name, roles=frozenset(held)) for place, held in roles.items()}


def name_of(claims: Mapping[str, Any]) -> str:
    """Return whom the audit chain names: a verified address, or the provider's own name of them.

    None of them can be the name of a token: it holds an `@` or a `:`.
    """
    email = claims.get("email")
    if isinstance(email, str) and claims.get("email_verified") is True and "@" in email:
        name = email
    else:
        name = f"oidc:{claims['sub']}"
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("The provider's name of you cannot be kept.", "ask who keeps the provider")
    return name


def read_grants(text: str) -> list[Grant]:
    """Return what the setting gives to groups: `GROUP=ROLE` and `GROUP=PROJECT/ROLE`, and spaces.

    Raises:
        UsageError: a part has another form, or nothing is given to anybody.
    """
    grants: list[Grant] = []
    for part in text.split():
        group, _, given = part.rpartition("=")
        project, _, role = given.rpartition("/")
        if not group or role not in set(Role):
            raise UsageError(
                f"{part[:80]!r} gives no role to a group.",
                f"{variable('oidc_roles')}='ml-team=ml-engineer auditors=flights/auditor'",
            )
        grants.append(Grant(group=group, role=Role(role), project=project))
    if not grants:
        raise UsageError(
            "Nobody whom the identity provider names has a role.",
            f"{variable('oidc_roles')}='GROUP=ml-engineer'; the group * is everybody",
        )
    return grants


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [each for each in listed if isinstance(each, str)]


def _checked_issuer(address: str) -> str:
    """Return an address of the provider: https, or of this machine."""
    parts = urlsplit(address)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise UsageError(
            f"{address[:200]!r} is no address of an identity provider.",
            f"set {variable('oidc_issuer')}=https://HOST",
        )
    return address


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_given: Any, **_named: Any) -> None:
        """Follow nothing: secrets go where they were meant to."""
        return


def _fetch(address: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        _checked_issuer(address), data=body, headers={"Accept": "application/json", **headers}
    )
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        told = error.read(300).decode("utf-8", "replace")
        if error.code < 500:
            raise Refused(
                f"The identity provider answered {error.code}: {told!r}.", "sign in again"
            ) from None
        raise _silent(address, f"answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise _silent(address, f"does not answer: {error}") from error


def _read(body: bytes, kind: type[Any], address: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _silent(address, f"answers something else: {error}") from None


def _silent(address: str, what: str) -> StoreUnavailable:
    host = urlsplit(address).hostname
    return StoreUnavailable(f"The identity provider at {host} {what}.", "try again")
