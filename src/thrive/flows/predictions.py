"""One prediction: shown, and explained, to whoever asks as they may see it."""

import msgspec

from thrive.domain.actor import AUTHORS
from thrive.flows.seen_predictions import hiding_of
from thrive.operations import Context, Kind, operation
from thrive.serving.explaining import Explanation, explain_prediction
from thrive.serving.lookup import PredictionRecord, find_prediction


@operation("predictions show", role=AUTHORS)
def predictions_show(ctx: Context, prediction_id: str) -> PredictionRecord:
    """Show one prediction: what was asked, answered, by which version, and what happened.

    Inputs and keys that hold personal data are pseudonyms unless a grant lets you read them.

    Args:
        prediction_id: the 32 hex digits that came back with the prediction.

    Examples:
        thrive predictions show 019283740000000100000001000000a0
    """
    found = find_prediction(ctx.home, prediction_id)
    hide = hiding_of(ctx, found.model, found.version, {*found.inputs, *found.keys})
    return msgspec.structs.replace(
        found,
        inputs={name: hide(name, value) for name, value in found.inputs.items()},
        keys={name: hide(name, value) for name, value in found.keys.items()},
    )


@operation("predictions explain", kind=Kind.CLIENT, role=AUTHORS)
def predictions_explain(ctx: Context, prediction_id: str) -> Explanation:
    """Reproduce one prediction from its record, and share its score out to the inputs.

    The shares are Shapley values against other rows that the same version was asked; each has the
    standard error of its estimate. They tell what the model used, not what causes the outcome.
    Inputs that hold personal data are pseudonyms unless a grant lets you read them.

    Args:
        prediction_id: the 32 hex digits that came back with the prediction.

    Examples:
        thrive predictions explain 019283740000000100000001000000a0
    """
    found = explain_prediction(ctx.home, prediction_id)
    hide = hiding_of(ctx, found.model, found.version, {each.name for each in found.shares})
    shares = [
        msgspec.structs.replace(each, value=hide(each.name, each.value)) for each in found.shares
    ]
    return msgspec.structs.replace(found, shares=shares)
