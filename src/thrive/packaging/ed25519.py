"""Ed25519 signatures (RFC 8032, section 5.1) on Python's integers.

It signs records of this project, a few a day, with a key of this machine. It takes milliseconds and
is not made for secrets that others can time: it signs what its owner typed, never what a stranger
sends. The core install carries no cryptography library for it; the vectors of the RFC are its test.
"""

import hashlib
from functools import cache
from typing import TypeAlias

from thrive.domain.errors import UsageError

Point: TypeAlias = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x * y = T/Z."""

KEY_BYTES, SIGNATURE_BYTES = 32, 64
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_NEUTRAL: Point = (0, 1, 1, 0)


def public_key(secret: bytes) -> bytes:
    """Return the public key of a secret one."""
    scalar, _ = _expanded(secret)
    return _encoded(_times(scalar, _base()))


def sign(secret: bytes, message: bytes) -> bytes:
    """Return the signature of a message; the same for the same key and message."""
    scalar, prefix = _expanded(secret)
    own = _encoded(_times(scalar, _base()))
    nonce = _number(prefix + message)
    commitment = _encoded(_times(nonce, _base()))
    answer = (nonce + _number(commitment + own + message) * scalar) % _ORDER
    return commitment + answer.to_bytes(32, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is that of a message by the holder of a public key."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _decoded(public), _decoded(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= _ORDER:
        return False
    challenge = _number(signature[:32] + public + message)
    return _same(_times(answer, _base()), _sum(commitment, _times(challenge, key)))


def _expanded(secret: bytes) -> tuple[int, bytes]:
    if len(secret) != KEY_BYTES:
        raise UsageError(f"A secret key of {len(secret)} bytes.", f"{KEY_BYTES} bytes are one")
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return (scalar & ((1 << 254) - 8)) | (1 << 254), digest[32:]


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % _ORDER


def _sum(left: Point, right: Point) -> Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: Point) -> Point:
    total = _NEUTRAL
    while scalar:
        if scalar & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        scalar >>= 1
    return total


def _same(left: Point, right: Point) -> bool:
    x = (left[0] * right[2] - right[0] * left[2]) % _P
    y = (left[1] * right[2] - right[1] * left[2]) % _P
    return x == 0 == y


def _encoded(point: Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(data: bytes) -> Point | None:
    """Return the point that 32 bytes stand for; None when they stand for none."""
    number = int.from_bytes(data, "little")
    y, odd = number & ((1 << 255) - 1), number >> 255
    x = _root_of(y, odd) if y < _P else None
    return None if x is None else (x, y, 1, x * y % _P)


def _root_of(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    return _P - x if x & 1 != odd else x


@cache
def _base() -> Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _root_of(y, 0)
    assert x is not None
    return x, y, 1, x * y % _P
