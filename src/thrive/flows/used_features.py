"""The feature views a run made its rows with, and those a model of it is bound to."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.features import (
    FeatureSpec,
    FeatureView,
    OnDemandDefinition,
    SpecView,
    ViewDefinition,
)
from thrive.flows.feature_rows import registered
from thrive.operations import Context


class UsedFeatures:
    """Gathers what the training sets of one run were made with."""

    def __init__(self) -> None:
        self._views: dict[str, SpecView] = {}
        self._on_demand: dict[str, OnDemandDefinition] = {}

    def add(self, ctx: Context, said: dict[str, Any]) -> list[FeatureView]:
        """Take what a task said of a training set; return the registered views of it."""
        found: list[FeatureView] = []
        for each in said["views"]:
            spec = msgspec.convert(each["spec"], SpecView)
            found.append(registered(ctx, msgspec.convert(each["definition"], ViewDefinition), spec))
            self._views[spec.name] = spec
        for computed in msgspec.convert(said["on_demand"], list[OnDemandDefinition]):
            self._on_demand[computed.name] = computed
        return found

    def unnamed(self, names: Sequence[str], inputs: Collection[str]) -> list[str]:
        """Return the views and on-demand features that gave inputs of a model, and are not named.

        Args:
            names: the features that the contract gives the model.
            inputs: the inputs of the model.
        """
        gave = [
            view.name
            for view in self._views.values()
            if any(column.name in inputs for column in view.columns)
        ]
        gave += [name for name in self._on_demand if name in inputs]
        return [name for name in gave if name not in names]

    def spec_of(self, model: str, names: Sequence[str]) -> FeatureSpec | None:
        """Return the features a model is bound to: those its contract names; None for none.

        Raises:
            UsageError: the contract names a view that this run made no row with.
        """
        if not names:
            return None
        known = self._views.keys() | self._on_demand.keys()
        unused = [name for name in names if name not in known]
        if unused:
            raise UsageError(
                f"thrive.toml gives {model} the feature {unused[0]!r}, and this run made its rows "
                "without it.",
                f'features.training_set(rows, ["{unused[0]}"], time=...)',
            )
        return FeatureSpec(
            views=[self._views[name] for name in names if name in self._views],
            on_demand=[self._on_demand[name] for name in names if name in self._on_demand],
        )
