"""A listening socket that turns new callers away."""

import socket
import sys

import pytest

from thrive.serving.door import turn_away


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of sockets is Linux's")
def test_who_is_in_the_queue_is_let_in_and_who_comes_later_is_refused_and_not_cut_off():
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listening:
        address = listening.getsockname()
        early = [socket.create_connection(address, timeout=5) for _ in range(3)]
        turn_away(listening)
        with socket.socket() as late:
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(address)
        for each in early:
            each.sendall(b"hello")
        for _ in early:
            line, _ = listening.accept()
            with line:
                line.sendall(line.recv(5))
        assert [each.recv(5) for each in early] == [b"hello"] * 3
        for each in early:
            each.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
