"""Loads an exported version where MLflow asks for it: the `python_function` flavor of an export.

MLflow calls `_load_pyfunc` by name, and `predict` of what it returns.
"""

from pathlib import Path
from typing import Any

from thrive.packaging.inference import columns_of
from thrive.packaging.loader import load
from thrive.packaging.manifest import MANIFEST_NAME, read_manifest


class ExportedPredictor:
    """Answers a pandas frame as the served version would.

    Args:
        folder: the package.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest((folder / MANIFEST_NAME).read_bytes())
        self._predictor = load(manifest, folder)

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Any:
        """Return one answer a row.

        Args:
            frame: a pandas frame with the inputs as columns.
            params: taken because MLflow gives it; there are none.
        """
        import polars as pl

        del params
        signature = self._predictor.signature
        columns = {name: frame[name].tolist() for name in signature.names if name in frame}
        return self._predictor.predict(columns_of(signature, pl.DataFrame(columns)))


def _load_pyfunc(path: str) -> ExportedPredictor:  # pyright: ignore[reportUnusedFunction] - MLflow's name
    """Return what MLflow asks for predictions."""
    return ExportedPredictor(Path(path))
