"""A listening socket that takes nobody new, while those who are on their way in are let in.

A socket that is closed cuts off whoever stands in its queue: they were connected, sent a request
and get a reset. Where new ones are turned away first, the queue runs empty, and closing it cuts off
nobody; who knocks meanwhile is refused once it is closed, as nothing was sent yet.
"""

import socket
import struct
import sys

_ATTACH_FILTER = 26
"""`SO_ATTACH_FILTER` of Linux; Python does not name it."""
_INSTRUCTIONS = (
    (0x30, 0, 0, 13),  # load the flags of the TCP header
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # then drop it: the caller asks again, a second later
    (0x06, 0, 0, 0xFFFFFFFF),  # all else is of those who are known
)


def turn_away(listening: socket.socket) -> None:
    """Have nobody new connect to a listening socket; handshakes under way are finished.

    All processes that share the socket stop taking callers. Elsewhere than on Linux, or where a
    filter is not allowed, its queue is as short as it can be.
    """
    if sys.platform == "linux":
        import ctypes

        program = b"".join(struct.pack("=HBBI", *each) for each in _INSTRUCTIONS)
        kept = ctypes.create_string_buffer(program)
        head = struct.pack("@HP", len(_INSTRUCTIONS), ctypes.addressof(kept))
        try:
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, head)
        except OSError:
            pass
        else:
            return
    listening.listen(0)
