"""A home here as the control plane of an agent, which speaks before all of it is imported."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from thrive.domain.errors import InfrastructureError
from thrive.domain.release import ServingHost
from thrive.serving.control_plane import ControlPlane
from thrive.serving.routes import Routes
from thrive.serving.served import Terms, routes_from
from thrive.store.quick_home import QuickHome


class EarlyControlPlane:
    """An embedded home: what an agent begins with by quick reads, all that follows as ever.

    Args:
        quick: the home, read quickly.
        ending: ends the quick reads.
        whole: makes the control plane that goes on; called once, from whatever thread needs it.
    """

    def __init__(
        self, quick: QuickHome, ending: ExitStack, whole: Callable[[], ControlPlane]
    ) -> None:
        self._quick: QuickHome | None = quick
        self._ending = ending
        self._make_whole = whole
        self._whole: ControlPlane | None = None
        self._lock = threading.Lock()
        self._told = False

    @classmethod
    def of(cls, folder: Path, whole: Callable[[], ControlPlane]) -> Self | None:
        """Return the control plane of the home in a folder, None if it is not read quickly.

        Args:
            folder: of the home.
            whole: makes the control plane that goes on.
        """
        with ExitStack() as stack:
            try:
                quick = stack.enter_context(QuickHome.opened(folder))
            except InfrastructureError:
                return None  # opening it as ever says what is wrong
            return cls(quick, stack.pop_all(), whole) if quick else None

    def routing(self, wait_s: float) -> Routes | None:
        """Return the routes, or None when they are what was returned last."""
        with self._lock, suppress(InfrastructureError):
            quick, told, self._told = self._quick, self._told, True
            if quick is not None and not told:
                with quick.reading():
                    return routes_from(quick, quick.project_id, quick.project, Terms())
        return self._go_on().routing(wait_s)

    def fetch(self, digest: str) -> bytes:
        """Return a blob of the home."""
        quick = self._quick
        return quick.blobs.get(digest) if quick else self._go_on().fetch(digest)

    def ship(self) -> int:
        """Seal what is due on this host."""
        return self._go_on().ship()

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Take numbers that are unique in the project."""
        with self._lock:
            if self._quick is not None:
                return self._quick.worker_numbers(log_id, count)
        return self._go_on().worker_numbers(log_id, count)

    def heartbeat(self, host: ServingHost) -> None:
        """Write the host's row."""
        self._go_on().heartbeat(host)

    def close(self) -> None:
        """End the quick reads, if nobody went on."""
        self._ending.close()

    def _go_on(self) -> ControlPlane:
        with self._lock:
            if self._whole is None:
                self._quick = None
                self._ending.close()
                self._whole = self._make_whole()
            return self._whole
