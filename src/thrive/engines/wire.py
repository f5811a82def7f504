"""Frames on a socket: a 4-byte length, a msgpack value, and file descriptors beside it."""

import socket
import struct
from typing import Any

import msgspec

_HEADER = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
MAX_FRAME = 1 << 30
MAX_HANDLES = 4


class WireClosed(EOFError):
    """The other end is gone."""


def send(connection: socket.socket, message: Any, handles: tuple[int, ...] = ()) -> None:
    """Send one frame.

    Args:
        connection: a connected Unix stream socket.
        message: a value msgpack can hold.
        handles: open file descriptors to hand over with it.

    Raises:
        WireClosed: the other end is gone.
    """
    data = _encode(message)
    frame = _HEADER.pack(len(data)) + data
    try:
        sent = socket.send_fds(connection, [frame], list(handles)) if handles else 0
        connection.sendall(memoryview(frame)[sent:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise WireClosed from error


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Return the next frame and the file descriptors that came with it.

    Raises:
        WireClosed: the other end is gone.
    """
    try:
        head, handles, _, _ = socket.recv_fds(connection, _HEADER.size, MAX_HANDLES)
        head += _exactly(connection, _HEADER.size - len(head)) if head else b""
        if not head:
            raise WireClosed
        (size,) = _HEADER.unpack(head)
        if size > MAX_FRAME:
            raise WireClosed
        return _decode(_exactly(connection, size)), handles
    except ConnectionResetError as error:
        raise WireClosed from error


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise WireClosed
        data += part
    return bytes(data)
