"""An RSA key of the tests, and tokens signed with it as an identity provider does."""

import base64
import hashlib
import json

MODULUS = int(
    "bf535b97848352384a7986a124d9c262a9a53386a0a6f81435726cc19d4a1fe7fa2c27b4388a73e76650df67"
    "1ab6029edb7528a404bfa17b17d019a2e157d03e20726d5282d9d66df66af812c1c588bc87ddf974d73511ca"
    "f73c55687aa0cd687b388ca7158844f2d6d5800a0d44396024e9bd42715cdd50ef6af6d9afdfd64d4cca55ec"
    "46cfd7e8aa70a15a0c1a229ede9addf1755d5fc2d9e3c0fcb9a61bc4b2676f4ccddc9ff422d3b187cfef4dab"
    "e4a1b7cc23346f0ebc6103227bd13cc140765c509e5f848ca7af01105467f4c50dae2e0e51dd844708f34ee1"
    "64ee34d4a8fd50cf03b07b6ab1d27789902ea5dda1293e40a4ba5ae00afc1ecca94a11bf",
    16,
)
SECRET = int(
    "4f1a4fcc1d658e20e7e9c6d7e93c7f39fb99e9ebc790411159e7ad3f7fa09e007356be33ad0cd14ee2e69cf7"
    "2bfc04a95962df22b133e9b7d2e89f30d0aa55d6d9e3757f9fca20f5e5e3e41d1d3066904c3c625f047b5497"
    "ee106bdf7e93ed593d58ec0e48c0c6810081d52652c5da52fdf005e7eaa6d27a1c02c57ccb52686f650c1fb4"
    "d2db0feb7793f0bd216999cebc0803a28011d70e596d91a899516f79d88ff777dd2bcd4586a90829c9a26ec3"
    "fccf1b26e4191b86c1104e33c07a8e04580c01fb5bf8cadf17a9be282764f15f4d39fa78e96827afb87512c5"
    "a472eeb85b1a1d9859f0f66e0c885380217bfc7837b54414771ecf34bf083ba896905e9",
    16,
)
"""A key of the test alone, made by OpenSSL."""
SIGNED_BY_OPENSSL = (
    "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogImsxIn0.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIuZXhhbXBsZS5vcmci"
    "LCAiYXVkIjogInRocml2ZSIsICJzdWIiOiAiYWRhIiwgIm5vbmNlIjogIm4iLCAiaWF0IjogMTAwMCwgImV4cCI6"
    "IDIwMDB9.DiPSAfcOjQlIPo4mbbkpHan4Bv1djMayn5ZrZ9lRuRqRF4DLgFfD0SOpNe30q-_LE3LuHiXVIN9lGui"
    "1OfRhJx-CZETPX8UcPD03VcivgUHXh7yD9OFDNwb8v4AuKVoxZkCZm9cwJ6iurzreIFx7gyubcd__7luls8gKFeM"
    "0oRRtnpNbxIPixK09cnXqjx2UUMj51O5UKtB-roXyUndVS5AmAVlD2P0_M4AxfkqBwxMZUTg2sBFctuRkJSWVM7P"
    "dMYXnt5V2ko6ZdN0JqI5-QpDjQn4lqaNGVGiwD0OYKQpqsOx5ov_i6Gu8ZH2-H9ZXyO3xbmHzp0FdAn2IQ6QKag"
)
_SIZE = 256
_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_key(kid: str = "k1") -> dict[str, str]:
    """Return the public key as a JSON Web Key."""
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": encoded(MODULUS.to_bytes(_SIZE, "big")),
        "e": "AQAB",
    }


def signed(claims: dict, **head) -> str:
    """Return a token with the signature of the key, whatever its head says."""
    known = {"alg": "RS256", "kid": "k1"} | head
    parts = ".".join(encoded(json.dumps(each).encode()) for each in (known, claims))
    digest = _PREFIX + hashlib.sha256(parts.encode()).digest()
    padded = b"\0\1" + b"\xff" * (_SIZE - len(digest) - 3) + b"\0" + digest
    number = pow(int.from_bytes(padded, "big"), SECRET, MODULUS)
    return f"{parts}.{encoded(number.to_bytes(_SIZE, 'big'))}"
