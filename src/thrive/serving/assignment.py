"""Who gets which variant: a stable draw by a hashed key."""

from hashlib import blake2b

PARTS = 10_000


def position(salt: str, key: str) -> int:
    """Return the place of a key, 0..9999, uniform over keys and stable under one salt."""
    digest = blake2b(f"{salt}|{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % PARTS


def drawn(salt: str, key: str, share: float) -> bool:
    """Tell whether a key belongs to the `share` (0..1) of keys under a salt.

    A key that belongs to a share belongs to every larger one: raising it moves users one way.
    """
    return position(salt, key) < round(share * PARTS)
