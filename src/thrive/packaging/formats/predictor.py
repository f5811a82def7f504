"""What a loaded model is, to everyone who asks it something."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from thrive.packaging.signature import Signature


class Predictor(Protocol):
    """A loaded model: answers typed columns, thread-safe, without state between calls."""

    @property
    def signature(self) -> Signature:
        """What requests look like and what is answered."""
        ...

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row.

        Args:
            columns: each input of the signature as an array of length n.

        Returns:
            Shape (n,): the probability of the positive class, or the value; shape (n, classes)
            for an output of kind `vector`; class labels for one of kind `class`.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return the format and the size of the model, for people and logs."""
        ...


class DoesNotFit(Exception):
    """A format cannot hold this model; the message says why."""
