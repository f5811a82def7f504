"""The feature views of a replayed model, brought online as its clock moves."""

from thrive.contract.schema import Contract
from thrive.domain.clock import DAY
from thrive.features.discover import Declared, load_declared
from thrive.flows.online_views import OnlineView
from thrive.flows.replay.traffic import Fault
from thrive.operations import Context


class Feed:
    """Brings the views of a model online, as an hourly `thrive features materialize` would.

    Args:
        context: the project.
        contract: names the model's views; without any the feed does nothing.
        model: the model that is replayed.
        fault: an injected fault; a view that it names stands still while it lasts.

    Raises:
        NotFound: the contract names views and there is no `features.py`.
        UsageError: it cannot be imported.
    """

    def __init__(
        self, context: Context, contract: Contract, model: str, fault: Fault | None
    ) -> None:
        terms = contract.model.get(model)
        names = terms.features if terms else []
        declared = load_declared(context.local_folder()) if names else Declared()
        self._views = {
            name: OnlineView(context, declared.views[name])
            for name in names
            if name in declared.views
        }
        self._fault = fault

    @property
    def names(self) -> list[str]:
        """The views that are brought online."""
        return list(self._views)

    def follow(self, now: int) -> None:
        """Bring what can be known up to a moment online, but for what the fault holds back.

        New versions of the sources are taken at the beginning of a day.
        """
        for name, view in self._views.items():
            if now % DAY == 0:
                view.look()
            if self._fault is None or not self._fault.holds_back(name, now):
                view.follow(now)
