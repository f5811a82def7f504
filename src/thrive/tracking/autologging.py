"""What scikit-learn, LightGBM and XGBoost train is logged into a run by itself.

`with autologged(run):` puts a wrapper around each library's way to train, for libraries that are
installed, and takes it off again at the end. Only the outermost training is logged: what a search
or a pipeline trains inside belongs to it. `EpochCallback` is for loops that call back.
"""

import contextlib
import functools
import importlib.util
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thrive.tracking.active import ActiveRun

LONGEST_VALUE = 500
MOST_PARAMS = 100
_nested = threading.local()
_logger = logging.getLogger(__name__)

Fit = Callable[..., Any]
Patch = tuple[Any, str, Fit]
"""An object, the name of its attribute, and what stands there meanwhile."""


@contextlib.contextmanager
def autologged(run: "ActiveRun") -> Generator[None]:
    """Log into a run what the libraries train until the block is left."""
    patches = [patch for find in (_sklearn, _lightgbm, _xgboost) for patch in find(run)]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, wrapper in patches:
        setattr(owner, name, wrapper)
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


class EpochCallback:
    """Logs what a training loop hands over at the end of each epoch: for Keras, or one's own.

    Keras takes it among the callbacks of `fit`; a loop of PyTorch calls
    `callback.on_epoch_end(epoch, {"loss": loss})`. Every other event is taken and left alone.

    Args:
        run: where to log.
    """

    def __init__(self, run: "ActiveRun") -> None:
        self._run = run

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log the numbers of an epoch at its number."""
        if logs:
            self._run.log({name: float(value) for name, value in logs.items()}, step=epoch)

    def on_train_end(self, _logs: Mapping[str, Any] | None = None) -> None:
        """Write what waits: training is over."""
        self._run.flush()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return a method that does nothing for the other events of a training."""
        if name.startswith(("on_", "set_")):
            return lambda *_given, **_more: None
        raise AttributeError(name)


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


@contextlib.contextmanager
def _outermost() -> Generator[bool]:
    """Tell whether no training is under way in this thread."""
    first = not getattr(_nested, "busy", False)
    _nested.busy = True
    try:
        yield first
    finally:
        if first:
            _nested.busy = False


@contextlib.contextmanager
def _harmless() -> Generator[None]:
    """Leave a training alone whatever comes of logging it: what was not logged is warned of."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - somebody trains, and asked for no more than a note
        _logger.warning("not logged by itself: %s", error)


def _sklearn(run: "ActiveRun") -> list[Patch]:
    if not _installed("sklearn"):
        return []
    from sklearn.base import BaseEstimator  # pyright: ignore[reportMissingTypeStubs]
    from sklearn.utils import all_estimators  # pyright: ignore[reportMissingTypeStubs]

    listed: Any = all_estimators()
    known = {kind for _, kind in listed} | set(_below(BaseEstimator))
    return [(kind, "fit", _fit(run, vars(kind)["fit"])) for kind in known if "fit" in vars(kind)]


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _fit(run: "ActiveRun", original: Fit) -> Fit:
    @functools.wraps(original)
    def fit(estimator: Any, *given: Any, **more: Any) -> Any:
        with _outermost() as first:
            fitted = original(estimator, *given, **more)
            if first:
                told = dict(zip(("X", "y"), given, strict=False)) | more
                with _harmless():
                    _log_fit(run, estimator, told.get("X"), told.get("y"))
        return fitted

    return fit


def _log_fit(run: "ActiveRun", estimator: Any, rows: Any, target: Any) -> None:
    _log_params(run, estimator.get_params(deep=True))
    run.tags(estimator=type(estimator).__name__, estimator_class=type(estimator).__module__)
    if rows is not None and target is not None and hasattr(estimator, "score"):
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            run.log(training_score=float(estimator.score(rows, target)))


def _log_params(run: "ActiveRun", params: Mapping[str, Any]) -> None:
    """Log parameters as texts of a bounded length, the first ones where there are many.

    A second training in the same run with others is warned of: a parameter has one value.
    """
    simple = {
        name: value if isinstance(value, int | float | bool | None) else str(value)[:LONGEST_VALUE]
        for name, value in list(params.items())[:MOST_PARAMS]
    }
    with _harmless():
        run.params({name: value for name, value in simple.items() if name})


def _lightgbm(run: "ActiveRun") -> list[Patch]:
    if not _installed("lightgbm"):
        return []
    import lightgbm  # pyright: ignore[reportMissingImports]

    def log(environment: Any) -> None:
        seen = {
            f"{data}-{metric}": float(value)
            for data, metric, value, *_ in environment.evaluation_result_list or ()
        }
        if seen:
            with _harmless():
                run.log(seen, step=environment.iteration)

    library: Any = lightgbm
    return _training(run, (library, library.engine, library.sklearn), log)


def _xgboost(run: "ActiveRun") -> list[Patch]:
    if not _installed("xgboost"):
        return []
    import xgboost  # pyright: ignore[reportMissingImports]

    library: Any = xgboost

    class Log(library.callback.TrainingCallback):
        """Logs the newest value of each metric after each iteration."""

        def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:
            """Log, and go on."""
            seen = {
                f"{data}-{metric}": float(_number(values[-1]))
                for data, metrics in evals_log.items()
                for metric, values in metrics.items()
            }
            if seen:
                with _harmless():
                    run.log(seen, step=epoch)
            return False

    return _training(run, (library, library.training, library.sklearn), Log())


def _number(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _training(run: "ActiveRun", places: tuple[Any, ...], callback: Any) -> list[Patch]:
    """Return what stands for `train` in the modules of a library that name it."""
    original: Fit = places[0].train

    @functools.wraps(original)
    def train(params: Mapping[str, Any], *given: Any, **more: Any) -> Any:
        with _outermost() as first:
            if first:
                _log_params(run, params)
            more["callbacks"] = [*(more.get("callbacks") or ()), callback]
            return original(params, *given, **more)

    return [(place, "train", train) for place in places if hasattr(place, "train")]
