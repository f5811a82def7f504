"""What a worker follows while something else is slow to load, does not start, or cannot be."""

import asyncio
import contextlib
import functools
import sys
import time

import msgspec
import pytest
from tests.serving_home import MODEL, constant_package

from thrive.domain.release import Variant
from thrive.serving import live as live_module
from thrive.serving.isolation import Isolated
from thrive.serving.limits import WorkerSettings
from thrive.serving.packages import PackageCache
from thrive.serving.routes import Routes, ServedModel, write_routes
from thrive.serving.worker import Worker

FOR_EVER = 300.0
"""Longer than anything here may take: it is waited for only if something waits that must not."""
PATIENCE_S = 60.0
NEVER_READY = (sys.executable, "-S", "-c", "import time; time.sleep(600)")


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def variant(cache, version: int, share: float = 1.0) -> Variant:
    package = constant_package(version / 10)
    if not PackageCache(cache / "packages").has(package.digest):
        package.unpack_to(cache / "packages" / package.digest)
    return Variant(version=version, package=package.digest, share=share)


def routes(revision: int, *variants: Variant, other: Variant | None = None) -> Routes:
    served = ServedModel(model=MODEL, revision=revision, variants=[*variants], fallback=0.2)
    models = {MODEL: served}
    if other is not None:
        models["other"] = ServedModel(model="other", revision=revision, variants=[other])
    return Routes(project="flights", models=models)


@contextlib.asynccontextmanager
async def following(cache, first: Routes):
    """Give a worker that follows the routing file, with the first routes loaded."""
    write_routes(cache, first)
    settings = WorkerSettings(worker=0, socket=-1, cache=str(cache), log=str(cache.parent / "log"))
    worker = Worker(settings)
    await worker.load_first()
    task = asyncio.create_task(worker.follow_routing())
    try:
        yield worker
    finally:
        task.cancel()
        await worker.close()


async def until(condition) -> None:
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def production(worker, model=MODEL) -> int | None:
    found = worker.live.models.get(model)
    return found.production.variant.version if found and found.production else None


def test_a_candidate_that_does_not_start_holds_up_no_stop_and_no_other_model(cache, monkeypatch):
    monkeypatch.setattr(live_module, "READY_S", FOR_EVER)
    monkeypatch.setattr(live_module, "Isolated", functools.partial(Isolated, program=NEVER_READY))
    one, two = variant(cache, 1), variant(cache, 2, 0.5)
    half = msgspec.structs.replace(one, share=0.5)

    async def main():
        async with following(cache, routes(1, one, other=one)) as worker:
            isolated = worker.live._isolated
            write_routes(cache, routes(2, half, two, other=one))
            await until(lambda: isolated)
            (waiting,) = isolated.values()
            moved = msgspec.structs.replace(two, share=1.0)
            write_routes(cache, routes(2, half, two, other=moved))
            await until(lambda: production(worker, "other") == 2)
            assert production(worker) == 1
            assert not waiting.closed
            write_routes(cache, routes(3, other=moved))
            await until(lambda: production(worker) is None)
            await until(lambda: waiting.closed)
            return worker.live.models[MODEL].served.revision

    assert asyncio.run(main()) == 3


def test_what_was_overtaken_while_it_loaded_is_never_answered_with(cache, monkeypatch):
    one, two = variant(cache, 1), variant(cache, 2)
    load, seen = PackageCache.load_warm, []

    def slow(self, digest, model, version, seal):
        seen.append(version)
        while version == 2 and seen[-1] == 2:
            time.sleep(0.01)
        return load(self, digest, model, version, seal)

    monkeypatch.setattr(PackageCache, "load_warm", slow)

    async def main():
        async with following(cache, routes(1, one)) as worker:
            write_routes(cache, routes(2, two))
            await until(lambda: 2 in seen)
            write_routes(cache, routes(3, one))
            await until(lambda: worker.live.models[MODEL].served.revision == 3)
            loading = [*worker._loads]
            seen.append(0)
            await asyncio.gather(*loading)
            assert production(worker) == 1
            assert worker.live.models[MODEL].served.revision == 3

    asyncio.run(main())


def test_whatever_a_version_raises_when_it_is_loaded_the_routes_are_followed_on(cache, monkeypatch):
    one, two, three = (variant(cache, number) for number in (1, 2, 3))
    load = PackageCache.load_warm

    def broken(self, digest, model, version, seal):
        if version == 2:
            raise RuntimeError("no such kernel")
        return load(self, digest, model, version, seal)

    monkeypatch.setattr(PackageCache, "load_warm", broken)

    async def main():
        async with following(cache, routes(1, one)) as worker:
            write_routes(cache, routes(2, two))
            await until(lambda: MODEL in worker.live.errors)
            assert "no such kernel" in worker.live.errors[MODEL]
            assert production(worker) == 1
            write_routes(cache, routes(3, three))
            await until(lambda: production(worker) == 3)
            assert not worker.live.errors

    asyncio.run(main())
