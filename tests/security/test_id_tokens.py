"""Case 68 of the attack list: tokens of an identity provider that are not to be believed."""

import hashlib
import hmac
import json

import pytest
from tests.rsa import SIGNED_BY_OPENSSL, encoded, public_key, signed

from thrive.domain.errors import Refused
from thrive.packaging import ed25519
from thrive.server.id_tokens import Expected, claims_of

EXPECTED = Expected(issuer="https://issuer.example.org", client="thrive", nonce="n")
NOW = 1500.0
CLAIMS = {
    "iss": EXPECTED.issuer,
    "aud": "thrive",
    "sub": "ada",
    "nonce": "n",
    "iat": 1000,
    "exp": 2000,
}


def believed(token, keys=None, now=NOW):
    return claims_of(token, [public_key()] if keys is None else keys, EXPECTED, now)


def test_a_token_that_openssl_signed_is_believed():
    assert believed(SIGNED_BY_OPENSSL) == CLAIMS


def test_a_token_of_an_edwards_key_is_believed():
    secret = bytes(range(32))
    head = encoded(json.dumps({"alg": "EdDSA", "kid": "e"}).encode())
    parts = f"{head}.{encoded(json.dumps(CLAIMS).encode())}"
    token = f"{parts}.{encoded(ed25519.sign(secret, parts.encode()))}"
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": encoded(ed25519.public_key(secret))}
    assert believed(token, [key]) == CLAIMS


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example.org"},
        {"iss": "https://issuer.example.org/"},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ["thrive", "another"]},
        {"aud": ["thrive", "another"], "azp": "another"},
        {"azp": "another"},
        {"nonce": "other"},
        {"nonce": None},
        {"exp": 1000},
        {"exp": "2000"},
        {"exp": True},
        {"iat": 9000},
        {"nbf": 9000},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
def test_claims_that_are_not_for_us_or_not_for_now(changed):
    assert believed(signed(CLAIMS)) == CLAIMS
    with pytest.raises(Refused):
        believed(signed(CLAIMS | changed))


@pytest.mark.parametrize("missing", sorted(CLAIMS))
def test_claims_that_are_missing(missing):
    with pytest.raises(Refused):
        believed(signed({key: value for key, value in CLAIMS.items() if key != missing}))


def hmac_with_the_public_key():
    """A signature with the public key taken for a shared secret."""
    head = encoded(json.dumps({"alg": "HS256", "kid": "k1"}).encode())
    parts = f"{head}.{encoded(json.dumps(CLAIMS).encode())}"
    secret = json.dumps(public_key()).encode()
    return f"{parts}.{encoded(hmac.new(secret, parts.encode(), hashlib.sha256).digest())}"


def with_other_claims():
    head, _, signature = SIGNED_BY_OPENSSL.split(".")
    return f"{head}.{encoded(json.dumps(CLAIMS | {'sub': 'eve'}).encode())}.{signature}"


@pytest.mark.parametrize(
    "token",
    [
        signed(CLAIMS, alg="none"),
        signed(CLAIMS, alg="none").rpartition(".")[0] + ".",
        signed(CLAIMS, alg="HS256"),
        signed(CLAIMS, alg="RS512"),
        signed(CLAIMS, alg=["RS256"]),
        signed(CLAIMS, kid="../../etc/passwd"),
        signed(CLAIMS, kid={"a": 1}),
        signed(CLAIMS, crit=["exp"]),
        hmac_with_the_public_key(),
        with_other_claims(),
        SIGNED_BY_OPENSSL[:-4] + "AAAA",
        SIGNED_BY_OPENSSL + "=",
        SIGNED_BY_OPENSSL.replace(".", ".."),
        SIGNED_BY_OPENSSL.replace(".", ""),
        "",
        "a.b.c",
        "[" * 50_000 + ".b.c",
    ],
    ids=lambda token: token[:12],
)
def test_tokens_that_no_key_of_the_provider_signed(token):
    with pytest.raises(Refused):
        believed(token)


@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "oct"},
        {"use": "enc"},
        {"alg": "PS256"},
        {"n": "AQAB"},
        {"n": 5},
        {"e": "AQ"},
        {"e": "AA"},
        {"kid": "k2"},
    ],
    ids=str,
)
def test_keys_that_are_not_taken(changed):
    with pytest.raises(Refused):
        believed(SIGNED_BY_OPENSSL, [public_key() | changed])


def test_a_signature_by_exponent_one_is_no_signature():
    weak = public_key() | {"e": "AQ"}
    parts = SIGNED_BY_OPENSSL.rpartition(".")[0]
    digest = bytes.fromhex("3031300d060960864801650304020105000420")
    digest += hashlib.sha256(parts.encode()).digest()
    forged = b"\0\1" + b"\xff" * (253 - len(digest)) + b"\0" + digest
    with pytest.raises(Refused):
        believed(f"{parts}.{encoded(forged)}", [weak])
