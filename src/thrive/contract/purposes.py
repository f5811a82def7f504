"""The words by which a dataset may allow a model to use it."""

from thrive.contract.schema import Contract


def purposes_of(contract: Contract, model: str) -> set[str]:
    """Return the words by which a dataset may allow a model: its name, and that of its purpose.

    The name of a purpose stands before its colon: `delay-warning: tell the operations desk ...`.
    """
    terms = contract.model.get(model)
    name = terms.purpose.partition(":")[0] if terms else ""
    return {model.casefold(), name.strip().casefold()} - {""}
