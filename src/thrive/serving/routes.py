"""The routing file: what a host's workers answer with, written by its agent.

Workers read this file and nothing else of the control plane. It is replaced as a whole, so a
reader sees one state or the next.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.errors import NotFound, Refused, SchemaTooNew
from thrive.domain.features import FeatureSpec
from thrive.domain.left_out import LeftOut
from thrive.domain.release import Variant

FORMAT = 1
FILE_NAME = "routing.json"
CHECKED_NAME = "routing.checked"


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model as workers need it: who answers, and the contract's words about requests.

    Attributes:
        revision: revision of the routing table, 0 when nothing was ever released.
        variants: production first.
        fallback: the answer when no version can answer; None for none.
        fallback_rules: answers for some rows before that, as the contract spells them.
        entity: request fields that name what is predicted; the default key of the assignment.
        segments: request fields kept in the log for slicing.
        threshold: score from which the decision is positive.
        sample: share of the requests that are logged.
        mask: fields whose values are not logged.
        override: whether a caller may name the version that answers.
        features: version, as text = the feature views it was trained on.
        must_log: every answer must be logged: the use is of high risk.
        left_out: people whom it does not answer about.
        purposes: the words by which a caller may be allowed to ask it.
    """

    model: str
    revision: int
    variants: list[Variant]
    fallback: float | str | None = None
    fallback_rules: list[str] = []
    salt: str = ""
    entity: list[str] = []
    segments: list[str] = []
    threshold: float = 0.5
    sample: float = 1.0
    mask: list[str] = []
    features: dict[str, FeatureSpec] = {}
    override: bool = False
    must_log: bool = False
    purposes: list[str] = []
    left_out: list[LeftOut] = []

    @property
    def keys(self) -> list[str]:
        """The request fields that are no inputs of the model by themselves, in order."""
        return list(dict.fromkeys([*self.entity, *self.segments]))


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """All models of a project as one host serves them.

    `replay` says that the project's clock is replayed; then `now` is its present moment and a
    request may name its own event time.
    """

    project: str
    project_id: str = ""
    models: dict[str, ServedModel]
    replay: bool = False
    now: int = 0
    format: int = FORMAT

    def only(self, models: frozenset[str]) -> "Routes":
        """Return the routes of some models, of every one if none is named."""
        if not models:
            return self
        chosen = {name: each for name, each in self.models.items() if name in models}
        return msgspec.structs.replace(self, models=chosen)

    def refuse_unknown(self, models: frozenset[str]) -> None:
        """Refuse to serve a model that there is not.

        Raises:
            NotFound: one of `models` has no route.
        """
        unknown = sorted(models - self.models.keys())
        if unknown:
            raise NotFound(f"There is no model {unknown[0][:80]!r}.", "thrive models list")

    def refuse_unlogged(self) -> None:
        """Refuse to serve a high-risk model of which not every answer is logged (AI Act, art. 12).

        Raises:
            Refused: with the model, and what to write.
        """
        for name, model in self.models.items():
            if model.must_log and model.sample < 1 and model.variants:
                raise Refused(
                    f"{name} is of high risk, and only {model.sample:.0%} of its answers would be "
                    "logged (AI Act, art. 12).",
                    f"write log = {{ sample = 1.0 }} in [model.{name}], and release it again",
                )

    def packages(self) -> set[str]:
        """Return the digests of every package the routes name."""
        return {each.package for model in self.models.values() for each in model.variants}


def write_routes(folder: Path, routes: Routes) -> None:
    """Replace the routing file in `folder`; a reader never sees half of it."""
    unfinished = folder / f".{FILE_NAME}.{os.getpid()}"
    unfinished.write_bytes(msgspec.json.encode(routes))
    unfinished.replace(folder / FILE_NAME)


def read_routes(folder: Path) -> Routes:
    """Return the routes in `folder`.

    Raises:
        SchemaTooNew: a newer Thrive wrote the file.
        FileNotFoundError: the agent has not written any yet.
        msgspec.DecodeError: it is no routing file.
    """
    data = (folder / FILE_NAME).read_bytes()
    form: dict[str, Any] = msgspec.json.decode(data)
    if form.get("format", FORMAT) > FORMAT:
        raise SchemaTooNew(
            f"The routing file has format {form['format']}; this Thrive reads up to {FORMAT}.",
            "run the agent and its workers from one installation",
        )
    return msgspec.convert(form, Routes)


def mark_checked(folder: Path) -> None:
    """Note that the routes were compared with the control plane just now."""
    (folder / CHECKED_NAME).touch()


def checked_at(folder: Path) -> float:
    """Return the machine time (s) of the last comparison with the control plane, 0 for never."""
    try:
        return (folder / CHECKED_NAME).stat().st_mtime
    except FileNotFoundError:
        return 0.0
