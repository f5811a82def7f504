"""ID tokens of an identity provider: signed by a key it publishes, for us, for now, or refused.

OpenID Connect Core 1.0, section 3.1.3.7; RS256 of RFC 7518 (PKCS #1 v1.5 of RFC 8017) and EdDSA of
RFC 8037. Verifying uses public numbers alone, so that Python's integers do. Which algorithms are
taken is said here, never by the token.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import Refused
from thrive.packaging import ed25519

LEEWAY_S = 60
"""How far the provider's clock may be from ours."""
LONGEST = 64 << 10
SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 16_384
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a SHA-256 digest in a signature (RFC 8017, section 9.2, note 1)."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must say: who issued it, for whom, in answer to which request."""

    issuer: str
    client: str
    nonce: str


def claims_of(
    token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, now: float
) -> dict[str, Any]:
    """Return the claims of a token that is to be believed.

    Args:
        token: three parts of base64url with dots between.
        keys: the provider's JSON Web Keys.
        expected: what it must say.
        now: the time in seconds.

    Raises:
        Refused: it is not signed by such a key, or not for us, or not for now.
    """
    head, claims, signed, signature = _parts(token)
    verify = _ALGORITHMS.get(str(head.get("alg")))
    if verify is None or "crit" in head:
        raise _refused("is signed in a way that is not taken")
    named = [key for key in keys if "kid" not in head or key.get("kid") == head["kid"]]
    if not any(verify(key, signed, signature) for key in named):
        raise _refused("is not signed by a key of the provider")
    _check(claims, expected, now)
    return claims


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > LONGEST or not token.isascii():
        raise _refused("has another form")
    try:
        head = msgspec.json.decode(_bytes(parts[0]), type=dict[str, Any])
        claims = msgspec.json.decode(_bytes(parts[1]), type=dict[str, Any])
        signature = _bytes(parts[2])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _refused("cannot be read") from None
    return head, claims, f"{parts[0]}.{parts[1]}".encode(), signature


def _check(claims: Mapping[str, Any], expected: Expected, now: float) -> None:
    audience = claims.get("aud")
    for_whom: list[Any] = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != expected.issuer:
        raise _refused("is of another issuer")
    if expected.client not in for_whom:
        raise _refused("is for another application")
    if (len(for_whom) > 1 or "azp" in claims) and claims.get("azp") != expected.client:
        raise _refused("was given to another application")
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), expected.nonce.encode()):
        raise _refused("answers another request")
    ends, begins = _number(claims, "exp"), _number(claims, "iat")
    if ends is None or now >= ends + LEEWAY_S:
        raise _refused("is expired")
    if begins is None or begins > now + LEEWAY_S or (_number(claims, "nbf") or 0) > now + LEEWAY_S:
        raise _refused("is of the future")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _refused("names nobody")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rs256(key: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    if key.get("kty") != "RSA" or key.get("use", "sig") != "sig":
        return False
    if key.get("alg", "RS256") != "RS256":
        return False
    modulus, exponent = _integer(key.get("n")), _integer(key.get("e"))
    bits = modulus.bit_length()
    if not (SMALLEST_RSA_BITS <= bits <= LARGEST_RSA_BITS and 3 <= exponent < 1 << 64):
        return False
    size = (bits + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus or exponent % 2 == 0:
        return False
    digest = _SHA256 + hashlib.sha256(signed).digest()
    wanted = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size, "big"), wanted)


def _eddsa(key: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    if key.get("kty") != "OKP" or key.get("crv") != "Ed25519":
        return False
    try:
        public = _bytes(str(key.get("x")))
    except ValueError:
        return False
    return ed25519.verify(public, signed, signature)


_ALGORITHMS: Mapping[str, Callable[[Mapping[str, Any], bytes, bytes], bool]] = {
    "RS256": _rs256,
    "EdDSA": _eddsa,
}


def _integer(text: object) -> int:
    try:
        return int.from_bytes(_bytes(text), "big") if isinstance(text, str) else 0
    except ValueError:
        return 0


def _bytes(text: str) -> bytes:
    """Return the bytes of base64url without its padding."""
    if "=" in text or "+" in text or "/" in text:
        raise ValueError("not base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _refused(why: str) -> Refused:
    return Refused(f"The ID token {why}.", "sign in again")
