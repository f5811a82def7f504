"""The homes a server answers for: one per project of its database, opened when first asked for."""

import threading

from thrive.domain.errors import NotFound
from thrive.domain.project import Project
from thrive.store import projects
from thrive.store.home import Home


class Homes:
    """Every project of one database and one blob store, by id.

    Args:
        home: the home the server was started with.
    """

    def __init__(self, home: Home) -> None:
        self.main = home
        self._homes = {home.project_id: home}
        self._lock = threading.Lock()

    def of(self, project_id: str) -> Home:
        """Return the home of a project.

        Raises:
            NotFound: the database has no such project.
        """
        known = self._homes.get(project_id)
        if known is not None:
            return known
        with self.main.read() as tx:
            project = next((p for p in projects.every(tx) if p.project_id == project_id), None)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        return self._opened(project)

    def every(self) -> list[Home]:
        """Return the home of each project, those that were created since included."""
        with self.main.read() as tx:
            known = projects.every(tx)
        return [self._homes.get(project.project_id) or self._opened(project) for project in known]

    def _opened(self, project: Project) -> Home:
        home = self.main.beside(project)
        with self._lock:
            return self._homes.setdefault(project.project_id, home)
