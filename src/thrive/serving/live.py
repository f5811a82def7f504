"""The models as one worker has them loaded, following the routing file."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.contract.fallback import FallbackRule, parse_rule
from thrive.domain.errors import ThriveError
from thrive.domain.features import FeatureSpec
from thrive.domain.release import Variant
from thrive.packaging.compiled import CompiledReader
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.signature import Signature
from thrive.serving.assemble import RowAssembler
from thrive.serving.assignment import drawn
from thrive.serving.isolation import Isolated
from thrive.serving.packages import PackageCache
from thrive.serving.quick import Asking, QuickPath
from thrive.serving.records import PRODUCTION, RowsEncoder
from thrive.serving.routes import Routes, ServedModel
from thrive.serving.views import ViewReader

if TYPE_CHECKING:
    from thrive.store.online import OnlineStore

_logger = logging.getLogger(__name__)

READY_S = 10.0
"""How long a new routing waits for a candidate's process before it is used without it."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A version beside production: its variant, its process, and the rows it takes."""

    variant: Variant
    process: Isolated
    assembler: RowAssembler

    def own_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows with the version's own inputs alone."""
        names = self.process.signature.names
        return [{name: row[name] for name in names if name in row} for row in rows]


class Production(msgspec.Struct, frozen=True, kw_only=True):
    """The version in production, in this process: its model, how it is asked, how it is read.

    `quick` reads the common requests of a version without feature views.
    """

    variant: Variant
    predictor: Predictor
    assembler: RowAssembler
    asking: Asking
    quick: QuickPath | None


class LiveModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model, ready to answer; replaced as a whole when its routing moves.

    Attributes:
        served: what the routing file says of it.
        production: None when nothing is in production.
        candidates: versions with a share of the live traffic.
        shadows: versions that see copies of it.
        mask: fields that are not logged.
        rules: what is answered, before the fallback, when no version can.
        names_left_out: whether a field of a request may name a person who is left out.
    """

    served: ServedModel
    production: Production | None
    candidates: list[Beside]
    shadows: list[Beside]
    mask: frozenset[str]
    rules: tuple[FallbackRule, ...] = ()
    names_left_out: bool = False

    def candidate_for(self, key: str) -> Beside | None:
        """Return the candidate that a key belongs to, None for production."""
        below = 0.0
        for each in self.candidates:
            below += each.variant.share
            if drawn(self.served.salt, key, below):
                return each
        return None

    @property
    def quick(self) -> QuickPath | None:
        """How common requests are read while production alone answers, and about anybody."""
        if self.production is None or self.candidates or self.names_left_out:
            return None
        return self.production.quick

    @property
    def signature(self) -> Signature | None:
        """What requests look like: as production says, else as a version beside it says."""
        if self.production is not None:
            return self.production.predictor.signature
        beside = [*self.candidates, *self.shadows]
        return beside[0].process.signature if beside else None

    def described(self) -> dict[str, Any]:
        """Return what `/health` says of it."""
        beside = [(each.variant, each.process) for each in (*self.candidates, *self.shadows)]
        return {
            "revision": self.served.revision,
            "production": self.production.variant.version if self.production else None,
            "format": self.production.predictor.describe() if self.production else None,
            "beside": [
                {
                    "version": variant.version,
                    "share": variant.share,
                    "shadow": variant.shadow,
                    "restarts": process.restarts,
                }
                for variant, process in beside
            ],
        }


class LiveModels:
    """All models of a worker.

    Predictors and processes are kept by package: a rollback finds the version it goes back to
    loaded already. A version that answers and is in the shadow too has a process for each, as
    nobody who waits for an answer is to wait for a shadow's.

    Args:
        cache: the cache folder of the home, with the routing file and the packages.
    """

    def __init__(self, cache: Path) -> None:
        self.models: dict[str, LiveModel] = {}
        self.errors: dict[str, str] = {}
        self._packages = PackageCache(cache / "packages")
        self._folder = cache / "packages"
        self._predictors: dict[tuple[str, str], Predictor] = {}
        self._asking: dict[tuple[str, str], Asking] = {}
        self._isolated: dict[tuple[str, str, bool], Isolated] = {}
        self._host = cache.parent
        self._online: OnlineStore | None = None
        self._views: dict[bytes, ViewReader] = {}
        self._wanted: dict[str, ServedModel] = {}
        self._loading: dict[str, ServedModel] = {}

    async def apply(self, routes: Routes) -> None:
        """Load what the routes name and use it; a model that cannot be loaded stays as it was.

        Newer routes may be applied while older ones still load: nobody waits then for a model that
        is slow to load, or for a candidate that does not start, and what was overtaken is dropped.
        """
        self._wanted = routes.models
        for known in (self.models, self.errors):
            for name in known.keys() - routes.models.keys():
                del known[name]
        changed = [served for served in routes.models.values() if not self._is_brought(served)]
        await asyncio.gather(*(self._replace(served) for served in changed))
        await self._close_unused()

    async def close(self) -> None:
        """End all processes of candidates."""
        await asyncio.gather(*(each.close() for each in self._isolated.values()))

    def _is_brought(self, served: ServedModel) -> bool:
        """Tell whether a model is used as the routes have it, or is being loaded so."""
        name = served.model
        loading = self._loading.get(name)
        if loading is not None:
            return loading == served
        return name in self.models and self.models[name].served == served

    async def _replace(self, served: ServedModel) -> None:
        name = served.model
        self._loading[name] = served
        live, failure = None, ""
        try:
            live = await self._build(served)
        except Exception as error:
            failure = str(error) if isinstance(error, ThriveError) else repr(error)
            _logger.exception("%s stays as it was", name)
        finally:
            if self._loading.get(name) is served:
                del self._loading[name]
        if self._wanted.get(name) != served:  # newer routes came meanwhile
            return
        if live is None:
            self.errors[name] = failure
            return
        self.errors.pop(name, None)
        self._remember_warm(name, live)
        self.models[name] = live

    async def _build(self, served: ServedModel) -> LiveModel:
        live, shadows, left_out = _answering(served), _in_shadow(served), served.left_out
        signatures = {
            each.package: self._packages.signature(each.package) for each in (*live, *shadows)
        }
        fields = frozenset(name for each in signatures.values() for name in each.names)
        fields |= _asked_for(served)
        candidates, in_shadow = (
            [self._beside(served, each, signatures[each.package], fields) for each in some]
            for some in (live[1:], shadows)
        )
        production = await self._production(served, live[0], fields) if live else None
        beside = (*candidates, *in_shadow)
        await asyncio.gather(*(each.process.ready(READY_S) for each in beside))
        return LiveModel(
            served=served,
            production=production,
            candidates=candidates,
            shadows=in_shadow,
            mask=frozenset(served.mask),
            rules=tuple(parse_rule(each) for each in served.fallback_rules),
            names_left_out=any({*each.columns} & {*served.keys, *fields} for each in left_out),
        )

    async def _production(
        self, served: ServedModel, variant: Variant, fields: frozenset[str]
    ) -> Production:
        name = (served.model, variant.package)
        predictor = self._predictors.get(name)
        if predictor is None:
            predictor = await asyncio.to_thread(
                self._packages.load_warm,
                variant.package,
                served.model,
                variant.version,
                variant.seal,
            )
            self._predictors[name] = predictor
            self._asking[name] = Asking(predictor)
        assembler = self._assembler(served, variant, predictor.signature, fields)
        asking = self._asking[name]
        return Production(
            variant=variant,
            predictor=predictor,
            assembler=assembler,
            asking=asking,
            quick=_quick(served, variant, assembler, asking),
        )

    def _beside(
        self, served: ServedModel, variant: Variant, signature: Signature, fields: frozenset[str]
    ) -> Beside:
        name = (served.model, variant.package, variant.shadow)
        process = self._isolated.get(name)
        if process is None:
            process = Isolated(
                self._folder,
                variant,
                served.model,
                signature,
                served.threshold,
                shadow=variant.shadow,
            )
            self._isolated[name] = process
        assembler = self._assembler(served, variant, signature, fields)
        return Beside(variant=variant, process=process, assembler=assembler)

    def _assembler(
        self, served: ServedModel, variant: Variant, signature: Signature, fields: frozenset[str]
    ) -> RowAssembler:
        """Return what reads a version's rows, with the feature views it was trained on.

        Raises:
            NotFound: one of them is not online in that version.
        """
        spec = served.features.get(str(variant.version))
        views = None if spec is None else self._views_of(spec)
        return RowAssembler(signature, served.keys, fields, views)

    def _views_of(self, spec: FeatureSpec) -> ViewReader:
        name = msgspec.json.encode(spec)
        if name not in self._views:
            from thrive.store.online import open_online

            self._online = self._online or open_online(self._host)
            self._views[name] = ViewReader(spec, self._online)
        return self._views[name]

    def _remember_warm(self, model: str, live: LiveModel) -> None:
        """Keep the last two versions that were in production, and forget older ones."""
        mine = [name for name in self._predictors if name[0] == model]
        using = live.production.variant.package if live.production else ""
        for name in [name for name in mine if name[1] != using][:-1]:
            del self._predictors[name], self._asking[name]

    async def _close_unused(self) -> None:
        served = [*self._wanted.values(), *(live.served for live in self.models.values())]
        used = {
            (each.model, variant.package, variant.shadow)
            for each in served
            for variant in (*_answering(each)[1:], *_in_shadow(each))
        }
        unused = [self._isolated.pop(name) for name in self._isolated.keys() - used]
        await asyncio.gather(*(each.close() for each in unused))


def _answering(served: ServedModel) -> list[Variant]:
    """Return the versions with a share of the live traffic, production first."""
    return [each for each in served.variants if not each.shadow and each.share > 0]


def _in_shadow(served: ServedModel) -> list[Variant]:
    return [each for each in served.variants if each.shadow]


def _quick(
    served: ServedModel, variant: Variant, assembler: RowAssembler, asking: Asking
) -> QuickPath | None:
    signature, keys = assembler.signature, assembler.keys
    if not assembler.plain or not CompiledReader.fits(signature, keys):
        return None
    reader = CompiledReader(signature, keys, frozenset(assembler.foreign))
    encoder = RowsEncoder(
        served.model, variant.version, PRODUCTION, signature.names, keys, frozenset(served.mask)
    )
    said = b"x-model-version: %d\r\nx-variant: %b\r\n" % (variant.version, PRODUCTION.encode())
    at_once = asking.at_once is not None
    return QuickPath(reader, signature.names, keys, encoder, said, at_once=at_once)


def _asked_for(served: ServedModel) -> frozenset[str]:
    """Return the request fields that the views of any variant read."""
    specs = served.features.values()
    entities = {key.name for spec in specs for view in spec.views for key in view.keys}
    inputs = {field.name for spec in specs for each in spec.on_demand for field in each.inputs}
    return frozenset(entities | inputs)
