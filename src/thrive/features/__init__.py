"""Feature views: the same feature at training and at inference.

A view is one function over versioned data, run on history and on new rows alike. Doors:
`feature_view` and `on_demand` declare; `windowed` aggregates events; `training_set` gives each row
what was known at its time; `online` reads the newest values by key. The room itself reads no
dataset and opens no home: the last two doors lead to the flows that hand it both.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thrive.features.declare import OnDemand, View, feature_view, on_demand
from thrive.features.windows import windowed

if TYPE_CHECKING:
    from thrive.flows.online_features import online
    from thrive.flows.training_sets import training_set

__all__ = ["OnDemand", "View", "feature_view", "on_demand", "online", "training_set", "windowed"]


if not TYPE_CHECKING:

    def training_set(entities: Any, views: Any, **options: Any) -> Any:
        """Return rows with what their views said at each row's time: a flow's door."""
        return import_module("thrive.flows.training_sets").training_set(entities, views, **options)

    def online(views: Any, keys: Any, **options: Any) -> Any:
        """Return the newest values of views by key: a flow's door."""
        return import_module("thrive.flows.online_features").online(views, keys, **options)
