"""Every route of the protocol, and how a path finds its own."""

from collections.abc import Iterable, Mapping

from thrive.server.mlflow import (
    artifacts,
    experiments,
    logged_models,
    logging,
    model_versions,
    registered_models,
    runs,
    webhooks,
)
from thrive.server.mlflow.calls import Route

ROUTES: tuple[Route, ...] = (
    *experiments.ROUTES,
    *runs.ROUTES,
    *logging.ROUTES,
    *artifacts.ROUTES,
    *logged_models.ROUTES,
    *registered_models.ROUTES,
    *model_versions.ROUTES,
    *webhooks.ROUTES,
)


class RouteTable:
    """The routes by method and path; most paths are plain words, a few have variable parts.

    Args:
        routes: the routes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._variable: list[tuple[list[str], Route]] = []
        for route in routes:
            if "{" in route.path:
                self._variable.append((route.path.split("/"), route))
            else:
                self._plain[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """Return the route of a path with its variable parts, None where there is none."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        parts = path.split("/")
        for pattern, route in self._variable:
            if route.method == method and (found := _match(pattern, parts)) is not None:
                return route, found
        return None


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts) or not all(parts):
        return None
    found: dict[str, str] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{"):
            found[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return found
