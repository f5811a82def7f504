"""What a serving agent asks of the control plane."""

from typing import Protocol

from thrive.domain.release import ServingHost
from thrive.serving.routes import Routes


class ControlPlane(Protocol):
    """The little an agent needs; every method may fail while the control plane is gone."""

    def routing(self, wait_s: float) -> Routes | None:
        """Return the routes, or None when they are what was returned last.

        Args:
            wait_s: how long it may wait for them to change.
        """
        ...

    def fetch(self, digest: str) -> bytes:
        """Return the blob of a package's manifest or file."""
        ...

    def ship(self) -> int:
        """Bring what workers logged into the store; return how many rows."""
        ...

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Return numbers for the workers that write a log folder; no other folder has them."""
        ...

    def heartbeat(self, host: ServingHost) -> None:
        """Say how this host is."""
        ...
