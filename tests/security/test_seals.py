"""Case 81 of the attack list: packages that nobody who is trusted vouches for."""

import msgspec
import pytest
from tests.serving_home import MODEL, add_version, constant_package, make_home

from thrive.domain.actor import local_actor
from thrive.domain.errors import Damaged, Refused, UnsafeModel, UsageError
from thrive.operations import Context
from thrive.packaging import ed25519
from thrive.packaging.seal import check_seal, sealed
from thrive.registry.sealing import sign_model, verify_model
from thrive.serving.packages import PackageCache, load_stored
from thrive.settings import Settings
from thrive.store import models
from thrive.store.signing import signing_key

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
KEY, OTHER_KEY = (ed25519.public_key(secret).hex() for secret in (SECRET, OTHER))
PACKAGE, AT = "a" * 64, 1_000
SEAL = sealed(SECRET, "m", 1, PACKAGE, AT)


def changed(**changes):
    return msgspec.structs.replace(SEAL, **changes)


def test_the_right_seal_is_trusted_with_and_without_a_list():
    check_seal(SEAL, "m", 1, PACKAGE, {})
    check_seal(SEAL, "m", 1, PACKAGE, {KEY: None, OTHER_KEY: None})
    check_seal(SEAL, "m", 1, PACKAGE, {KEY: AT + 1})
    check_seal(None, "m", 1, PACKAGE, {})


@pytest.mark.parametrize(
    ("seal", "of", "trusted"),
    [
        pytest.param(SEAL, ("m", 1, "b" * 64), {}, id="of another package"),
        pytest.param(SEAL, ("m", 2, PACKAGE), {}, id="of another version: a roll-back"),
        pytest.param(SEAL, ("n", 1, PACKAGE), {}, id="of another model"),
        pytest.param(changed(at=AT + 1), ("m", 1, PACKAGE), {}, id="moved in time"),
        pytest.param(changed(key=OTHER_KEY), ("m", 1, PACKAGE), {}, id="claimed by another"),
        pytest.param(changed(signature="00" * 64), ("m", 1, PACKAGE), {}, id="no signature"),
        pytest.param(changed(signature="zz"), ("m", 1, PACKAGE), {}, id="not hex"),
        pytest.param(changed(key=""), ("m", 1, PACKAGE), {}, id="no key"),
        pytest.param(SEAL, ("m", 1, PACKAGE), {OTHER_KEY: None}, id="an untrusted key"),
        pytest.param(SEAL, ("m", 1, PACKAGE), {KEY: AT}, id="a key that had ended"),
        pytest.param(None, ("m", 1, PACKAGE), {KEY: None}, id="no seal where one is asked for"),
    ],
)
def test_any_other_seal_is_refused(seal, of, trusted):
    with pytest.raises(UnsafeModel):
        check_seal(seal, *of, trusted)


@pytest.fixture
def context(tmp_path):
    home = make_home(tmp_path)
    yield Context(home, local_actor("ada"), operation="test")
    home.close()


def test_a_host_loads_what_it_trusts_and_nothing_else(context, tmp_path, monkeypatch):
    package = constant_package(0.9)
    add_version(context.home, package)
    cache = PackageCache(tmp_path / "packages")
    package.unpack_to(tmp_path / "packages" / package.digest)
    cache.load(package.digest, MODEL, 1, None)
    signed = sign_model(context, f"{MODEL}@1")
    ours = ed25519.public_key(signing_key(context.home.folder)).hex()
    assert signed.seal.key == ours
    monkeypatch.setenv("THRIVE_MODEL_KEYS", ours)
    cache.load(package.digest, MODEL, 1, signed.seal)
    load_stored(context.home.blobs, signed)
    with pytest.raises(UnsafeModel):
        cache.load(package.digest, MODEL, 1, None)
    with pytest.raises(UnsafeModel):
        cache.load(package.digest, MODEL, 2, signed.seal)
    monkeypatch.setenv("THRIVE_MODEL_KEYS", f"{ours}@2020-01-01")
    with pytest.raises(UnsafeModel):
        load_stored(context.home.blobs, signed)


def test_an_extra_file_and_one_changed_byte_are_found(context, tmp_path):
    package = constant_package(0.9)
    add_version(context.home, package)
    folder = tmp_path / "packages" / package.digest
    package.unpack_to(folder)
    cache = PackageCache(tmp_path / "packages")
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(Damaged, match="does not name"):
        cache.load(package.digest, MODEL, 1, None)
    (folder / "extra.bin").unlink()
    name = next(iter(package.files))
    (folder / name).write_bytes(package.files[name][:-1] + b"\0")
    with pytest.raises(Damaged):
        cache.load(package.digest, MODEL, 1, None)


def test_verify_says_what_holds(context, monkeypatch):
    package = constant_package(0.9)
    add_version(context.home, package)
    proof = verify_model(context, MODEL)
    assert (proof.holds, proof.key, proof.exit_code) == (True, "", 0)
    monkeypatch.setenv("THRIVE_MODEL_KEYS", KEY)
    assert verify_model(context, MODEL).problems == [f"Nobody vouches for {MODEL}@1."]
    sign_model(context, MODEL)
    assert "no trusted key" in verify_model(context, MODEL).problems[0]
    with context.write("test:1") as tx:
        version = models.get_version(tx, context.project_id, MODEL, 1)
        forged = msgspec.structs.replace(version.seal, at=1)
        models.replace_version(
            tx, context.project_id, msgspec.structs.replace(version, seal=forged)
        )
    monkeypatch.delenv("THRIVE_MODEL_KEYS")
    assert verify_model(context, MODEL).exit_code == 1


def test_keys_that_are_none_are_told():
    with pytest.raises(UsageError, match="no public key"):
        Settings(model_keys="abc").trusted_model_keys()
    assert Settings(model_keys=f"{KEY}@2027-01-01").trusted_model_keys()[KEY] > 0
    assert issubclass(UnsafeModel, Refused)
