"""Faults 7 and 18: `kill -9` at every step of a clean-up, and clean-ups beside those who add."""

import random
import shutil
import signal
import subprocess
import sys

import pytest
from tests.servers import s3_server

from thrive.data.cleaning import gc, rm
from thrive.data.operations import checkout, log
from thrive.data.storing import add
from thrive.domain.actor import local_actor
from thrive.flows.doctor import doctor
from thrive.operations import Context
from thrive.store import references
from thrive.store.home import FOLDER, connect_home, create_home, open_home

pytestmark = pytest.mark.full
FILES = 60
LEFT = 8
"""Files of the first of two versions that are in the second one too: the pack is mostly dead."""
MOST_STEPS = 80
RACING_S = 20

OPENED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from thrive.data.cleaning import gc, rm
from thrive.data.operations import log
from thrive.data.storing import add
from thrive.domain.actor import local_actor
from thrive.domain.errors import ThriveError
from thrive.operations import Context
from thrive.store.home import open_home

folder = Path(sys.argv[1])

def opened():
    return Context(open_home(folder), local_actor("ann"), folder=folder, operation="data gc")
"""
KILLED = """
left = 0

def step(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(kind, name):
    real = getattr(kind, name)
    def call(*given, **named):
        step()
        done = real(*given, **named)
        step()
        return done
    setattr(kind, name, call)

def clean_up():
    ctx = opened()
    for name in ("put", "put_many", "put_file", "put_parts", "delete"):
        if hasattr(type(ctx.home.blobs), name):
            counted(type(ctx.home.blobs), name)
    sa.event.listen(ctx.home.database.engine, "begin", step)
    sa.event.listen(ctx.home.database.engine, "commit", step)
    gc(ctx, older_than="0s")
    os._exit(0)

for line in sys.stdin:  # each try is a fork of this process: it has imported everything
    left = int(line)
    child = os.fork()
    if child == 0:
        clean_up()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ADDING = """
import random, time
ctx = opened()
until, mine = time.monotonic() + float(sys.argv[2]), random.Random(sys.argv[3])
told = 0
while time.monotonic() < until:
    source = folder / sys.argv[3]
    source.mkdir(exist_ok=True)
    for number in range(60):
        if mine.random() < 0.5 or not (source / f"{number}.bin").exists():
            (source / f"{number}.bin").write_bytes(mine.randbytes(2000))
    try:
        version = add(ctx, str(source), name="d")
    except ThriveError as error:
        print("refused", type(error).__name__, error, flush=True)
        continue
    told += 1
    print("added", version.version, flush=True)
assert told
"""
CLEANING = """
import time
ctx = opened()
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        known = [line.version for line in log(ctx, "d")]
        for old in known[3:]:
            rm(ctx, f"d@{old}", reason="old")
    except ThriveError as error:
        print("refused", type(error).__name__, error, flush=True)
    print("removed", gc(ctx, older_than="0s").removed, flush=True)
"""


def started(script, folder, *words):
    command = [sys.executable, "-c", OPENED + script, str(folder), *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(params=["folder", "team"])
def ctx(request, tmp_path, monkeypatch):
    """A home in a folder, and one on PostgreSQL and a real S3 server."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "thrive.toml").write_text("contract = 1\n")
    if request.param == "folder":
        create_home(folder, "p").close()
        yield context_of(open_home(folder), folder)
        return
    with s3_server() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        address = request.getfixturevalue("database").new_database()
        objects = f"s3://{s3.bucket}/p"
        home = connect_home(address, objects, "p", folder / FOLDER, create=True)
        yield context_of(home, folder)


def context_of(home, folder):
    return Context(home, local_actor("tester"), folder=folder, operation="test")


def leave_garbage(ctx, source, moments):
    """Leave a removed version whose pack a version that stays needs a few files of."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for number in range(FILES):
        (source / f"{number:02}.bin").write_bytes(moments.randbytes(3000))
    first = add(ctx, str(source), name="d").version
    for number in range(LEFT, FILES):
        (source / f"{number:02}.bin").unlink()
    (source / "more.txt").write_text(str(moments.random()))
    add(ctx, str(source), name="d")
    known = [line.version for line in log(ctx, "d")]
    for old in [first, *known[3:]]:
        rm(ctx, f"d@{old}", reason="made by mistake")


def check_whole(ctx, to):
    """Every version that is there comes back; what is on disk is what its name says."""
    for line in log(ctx, "d"):
        shutil.rmtree(to, ignore_errors=True)
        ctx.home.blobs.local.sweep(0)
        checkout(ctx, f"d@{line.version}", to=to)
    diagnosis = doctor(ctx, blobs=0)
    bad = [finding for finding in diagnosis.findings if finding.health == "bad"]
    assert not bad, bad


def test_07_a_clean_up_killed_at_any_step_loses_nothing_that_is_used(ctx, tmp_path):
    source, moments = tmp_path / "source", random.Random(7)
    tries = started(KILLED, ctx.local_folder())
    for step in range(1, MOST_STEPS):
        leave_garbage(ctx, source, moments)
        print(step, file=tries.stdin, flush=True)
        code = tries.stdout.readline().strip()
        check_whole(ctx, tmp_path / "out")
        if code == "0":
            break
        assert code == str(-signal.SIGKILL)
    tries.communicate()
    assert 10 < step < MOST_STEPS - 1
    gc(ctx, older_than="0s")
    again = gc(ctx, older_than="0s")
    assert (again.removed, again.repacked, again.waiting) == (0, 0, 0)
    with ctx.read() as tx:
        needed = references.every_digest(tx)
    assert {each.digest for each in ctx.home.blobs.listed()} == needed
    ctx.home.close()


def test_18_what_is_added_beside_clean_ups_is_whole(ctx, tmp_path):
    folder = ctx.local_folder()
    leave_garbage(ctx, folder / "first", random.Random(18))
    adding = [started(ADDING, folder, RACING_S, name) for name in ("first", "second")]
    cleaning = [started(CLEANING, folder, RACING_S) for _ in range(2)]
    said = []
    for process in [*adding, *cleaning]:
        out, err = process.communicate()
        assert process.returncode == 0, err
        said += out.splitlines()
    print({word: sum(line.startswith(word) for line in said) for word in ("added", "removed")})
    print({line for line in said if line.startswith("refused")})
    assert any(line.startswith("removed") and line != "removed 0" for line in said)
    check_whole(ctx, tmp_path / "out")
    ctx.home.close()
