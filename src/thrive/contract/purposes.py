"""The words by which a dataset may allow a model to use it."""

from thrive.contract.schema import Contract, ModelTerms


def purposes_of(contract: Contract, model: str) -> set[str]:
    """Return the words by which a dataset may allow a model: its name, and that of its purpose.

    The name of a purpose stands before its colon: `delay-warning: tell the operations desk ...`.
    """
    return purposes_in(contract.model.get(model, ModelTerms()), model)


def purposes_in(terms: ModelTerms, model: str) -> set[str]:
    """Return the same from what a contract says of a model alone."""
    name = terms.purpose.partition(":")[0]
    return {model.casefold(), name.strip().casefold()} - {""}
