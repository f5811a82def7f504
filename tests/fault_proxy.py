"""A TCP proxy that fails as networks and stores do: it cuts, delays, refuses and answers 503."""

import contextlib
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 0\r\n\r\n"


class FaultProxy:
    """Passes connections on to a target, as long as it is told to.

    Attributes:
        target: the port of the loopback address that connections go to.
        open: False refuses to talk: connections are closed at once, living ones are cut.
        silent: True swallows everything without a word, as a cut cable does.
        busy: share of connections that are answered with 503.
        cut_after: bytes after which a connection is cut, in either direction; 0 for never.
        delay_s: pause before each piece.
        passed: bytes that went through so far, in both directions.
    """

    def __init__(self, target: int, seed: int = 1) -> None:
        self.target = target
        self.open = True
        self.silent = False
        self.busy = 0.0
        self.cut_after = 0
        self.delay_s = 0.0
        self.faults = 0
        self.passed = 0
        self._random = random.Random(seed)
        self._alive: set[socket.socket] = set()
        self._stop = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut every living connection."""
        for each in list(self._alive):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            if not self.open:
                return
            if self._random.random() < self.busy:
                self.faults += 1
                with contextlib.suppress(OSError):
                    client.recv(65536)
                    client.sendall(BUSY)
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                return
            with server:
                self._alive |= {client, server}
                try:
                    self._pass(client, server)
                finally:
                    self._alive -= {client, server}

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while self.open and not self._stop.is_set():
                for key, _ in ready.select(0.2):
                    if self.silent:
                        time.sleep(0.05)
                        continue
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    time.sleep(self.delay_s)
                    passed += len(data)
                    self.passed += len(data)
                    if self.cut_after and passed > self.cut_after:
                        self.faults += 1
                        key.data.sendall(data[: len(data) // 2])
                        return
                    key.data.sendall(data)


@contextmanager
def fault_proxy(target: int, seed: int = 1) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target, seed)
    try:
        yield proxy
    finally:
        proxy.close()
