"""The route table: one path for each operation that has a door here."""

from collections.abc import Mapping

import msgspec

from thrive.client.wire import is_post, path_of
from thrive.operations import Kind, Operation


class Route(msgspec.Struct, frozen=True):
    """One path of the API with the one method it takes."""

    path: str
    method: str
    operation: Operation

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods answered; OPTIONS names them."""
        return ("GET", "HEAD", "OPTIONS") if self.method == "GET" else ("POST", "OPTIONS")


def route_of(operation: Operation) -> Route:
    """Return where an operation is called: `runs list` is `GET /api/runs/list`.

    What changes nothing is GET; a write, and a job (its row is written), is POST.
    """
    return Route(path_of(operation), "POST" if is_post(operation) else "GET", operation)


def build_routes(operations: Mapping[str, Operation]) -> dict[str, Route]:
    """Return the routes by path; operations that read local files have none."""
    routes = [route_of(each) for each in operations.values() if each.kind is not Kind.CLIENT]
    return {route.path: route for route in routes}
