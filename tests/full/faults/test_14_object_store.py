"""Fault 14: a real S3 server behind a network that answers 503, dawdles and cuts in the middle."""

import os
import time
from contextlib import ExitStack

import pytest
from blake3 import blake3
from tests.callers import calling, check_exactly_once
from tests.end_to_end.test_server import served
from tests.fault_proxy import fault_proxy
from tests.rest import new_token
from tests.servers import s3_server
from tests.serving_home import RemoteHost, add_version, constant_package, live, route, with_model

from thrive.domain.actor import local_actor
from thrive.domain.errors import InfrastructureError
from thrive.operations import Context
from thrive.store.blobs import open_blobs
from thrive.store.home import FOLDER, connect_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture
def proxy(s3):
    with fault_proxy(int(s3.endpoint.rpartition(":")[2]), seed=7) as made:
        yield made


def blobs_through(proxy, s3, cache):
    options = s3.options(endpoint=f"http://127.0.0.1:{proxy.port}", cache=cache)
    return open_blobs(f"s3://{s3.bucket}/faults", options)


FAULTS = {
    "busy": {"busy": 0.4},
    "slow": {"delay_s": 0.05},
    "cut": {"cut_after": 300_000},
    "all": {"busy": 0.2, "delay_s": 0.01, "cut_after": 2_000_000},
}


@pytest.mark.parametrize("kind", FAULTS)
def test_14_what_is_acknowledged_is_whole_and_what_fails_is_told(proxy, s3, tmp_path, kind):
    """Every `put` that returns can be read by another host; one that raised left nothing torn."""
    for name, value in FAULTS[kind].items():
        setattr(proxy, name, value)
    sizes = [10, 100_000, 250_000, 1_000_000, 9_000_000]
    contents = [os.urandom(size) for size in sizes for _ in range(3)]
    blobs = blobs_through(proxy, s3, tmp_path / "cache")
    kept: list[bytes] = []
    told: list[str] = []
    for content in contents:
        try:
            assert blobs.put(content) == blake3(content).hexdigest()
            kept.append(content)
        except InfrastructureError as error:
            told.append(error.what)
    read = 0
    other = blobs_through(proxy, s3, tmp_path / "other")
    for content in kept:
        try:
            assert other.get(blake3(content).hexdigest()) == content
            read += 1
        except InfrastructureError as error:
            told.append(error.what)
    print(kind, "faults", proxy.faults, "kept", len(kept), "read", read, "of", len(contents))
    assert kept
    assert len(kept) + len(told) >= len(contents)
    if kind != "slow":
        assert proxy.faults
    straight = open_blobs(f"s3://{s3.bucket}/faults", s3.options(cache=tmp_path / "straight"))
    for content in contents:
        name = blake3(content).hexdigest()
        if content in kept or straight.has(name):
            assert straight.get(name) == content
        else:
            assert straight.put(content) == name


def test_14_serving_goes_on_and_ships_when_the_store_is_well_again(
    proxy, s3, tmp_path, database, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    address, objects = database.new_database(), f"s3://{s3.bucket}/serving"
    home = connect_home(address, objects, "flights", tmp_path / "own" / FOLDER, create=True)
    with_model(home)
    route(home, live(add_version(home, constant_package(0.3))))
    token = new_token(Context(home, local_actor("t"), operation="t"), "edge-1", "serve")
    folder = tmp_path / "server"
    folder.mkdir()
    words = ["--database", address, "--objects", objects, "--project", "flights", "--no-worker"]
    with ExitStack() as stack:
        _, known = stack.enter_context(served(folder, *words))
        host = stack.enter_context(RemoteHost(tmp_path / "edge", known["url"], token))
        with calling(host) as seen:
            time.sleep(1)
            proxy.open = False
            proxy.cut()
            time.sleep(8)
            proxy.open, proxy.busy, proxy.cut_after = True, 0.3, 500_000
            time.sleep(8)
            proxy.busy, proxy.cut_after = 0.0, 0
            host.wait_for_revision(route(home, live(add_version(home, constant_package(0.9)))))
        assert seen.failures == []
        host.stop()
        check_exactly_once(home, seen.ids)
    home.close()
