"""A project in which one person stands in data, models, predictions and outcomes."""

from pathlib import Path

import pytest
from tests.planted import OTHERS, PERSON, answer, plant_data, plant_model, tell_outcomes

from thrive.operations import Context
from thrive.store.eventlog import SegmentWriter


@pytest.fixture
def planted(context: Context, tmp_path: Path) -> Context:
    """The project; its prediction log is not sealed yet."""
    plant_data(context, tmp_path)
    plant_model(context, "orders@1")
    plant_model(context, "weather@1")
    with SegmentWriter(context.home.log_folder, 0) as writer:
        first = answer(writer, [OTHERS[0], PERSON])
        second = answer(writer, [PERSON])
        third = answer(writer, [OTHERS[1]])
    tell_outcomes(context, second, third, first)
    return context
