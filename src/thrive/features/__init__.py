"""Feature views: the same feature at training and at inference.

A view is one function over versioned data, run on history and on new rows alike. `feature_view`
and `on_demand` declare; `join` gives each row of a table what was known at its time. Nothing here
reads datasets or models by itself: flows hand them in.
"""

from thrive.features.declare import OnDemand, View, feature_view, on_demand

__all__ = ["OnDemand", "View", "feature_view", "on_demand"]
