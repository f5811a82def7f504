"""Faults 10 and 24: a disk that fails, and a power cut that takes what was not synchronised.

`disk.c` stands between a process and its disk. For fault 10 it lets calls fail while the process
works. For fault 24 it notes each write and each synchronisation; from that the disk is made as a
power cut could have left it at any moment: of the writes since a file was last synchronised, any
may be there, in part or not at all, and a new name may be missing until its folder was. What was
acknowledged before that moment must be there.
"""

import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest
from tests.callers import eventually

from thrive.store import audit
from thrive.store.home import create_home, open_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]
SECTOR = 512
CUTS = 60
SEED = 24

WRITE = """
    import sys
    from pathlib import Path
    from thrive.domain.actor import local_actor
    from thrive.domain.errors import ThriveError
    from thrive.operations import Context
    from thrive.store import database, references
    from thrive.store.home import open_home
    database.CHECKPOINT_BYTES = 100_000
    if sys.argv[2] != "FULL":
        pragmas = (p.replace("FULL", sys.argv[2]) for p in database._PRAGMAS)
        database._PRAGMAS = tuple(pragmas)
    home = open_home(Path(sys.argv[1]))
    context = Context(home, local_actor("writer"), operation="test")
    print("begun", flush=True)
    for index in range(100_000):
        try:
            digest = home.blobs.put(b"content %d" % index * 50)
            with context.write(f"thing:{index}") as tx:
                references.add(tx, home.project_id, "thing", str(index), digest)
            print(index, digest, flush=True)
        except (ThriveError, OSError) as error:
            print("refused", type(error).__name__, flush=True)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library that stands before the disk."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    made = tmp_path_factory.mktemp("disk") / "disk.so"
    source = Path(__file__).with_name("disk.c")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return made


class Writer:
    """A process that writes links and blobs through the library."""

    def __init__(self, library, folder, synchronous="FULL"):
        self.faults = folder.parent / f"{folder.name}.faults"
        self.journal = folder.parent / f"{folder.name}.journal"
        self._said = folder.parent / f"{folder.name}.said"
        self.faults.mkdir()
        told = {
            "LD_PRELOAD": str(library),
            "DISK_UNDER": str(folder),
            "DISK_JOURNAL": str(self.journal),
            "DISK_FAULTS": str(self.faults),
        }
        command = [sys.executable, "-c", textwrap.dedent(WRITE), str(folder), synchronous]
        with self._said.open("wb") as out:
            self.process = subprocess.Popen(command, env=os.environ | told, stdout=out)

    def lines(self):
        """Return what it has printed, in words; a last line that has no end yet is left out."""
        return [line.split() for line in self._said.read_text().rpartition("\n")[0].splitlines()]

    def wait_for(self, more):
        """Wait until it has printed so many lines more."""
        wanted = len(self.lines()) + more
        eventually(lambda: len(self.lines()) >= wanted or self.process.poll() is not None, 120)
        assert self.process.poll() is None

    def kill(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()


def taken(lines):
    """Return what was acknowledged: the digest of each blob by its number."""
    return {int(words[0]): words[1] for words in lines if len(words) == 2 and words[0].isdigit()}


def check(folder, acknowledged):
    """Return which acknowledged numbers a home lacks; all else about it must be sound."""
    home = open_home(folder)
    try:
        assert home.database.quick_check() == ""
        with home.read() as tx:
            assert audit.first_broken(tx, home.project_id) is None
            links = {link.subject for link in audit.entries(tx, home.project_id, limit=10**6)}
        lost = {number for number in acknowledged if f"thing:{number}" not in links}
        for digest in (digest for number, digest in acknowledged.items() if number not in lost):
            home.blobs.get(digest)
        return lost
    finally:
        home.close()


@pytest.fixture
def folder(tmp_path):
    """The folder of a new home."""
    made = tmp_path / "home"
    made.mkdir()
    create_home(made, "test").close()
    return made


@pytest.mark.parametrize("fault", ["fail-sync", "fail-write", "short-write", "interrupt"])
def test_10_what_fails_is_refused_and_what_was_taken_is_there(library, folder, fault):
    writer = Writer(library, folder)
    writer.wait_for(20)
    for _ in range(3):
        (writer.faults / fault).touch()
        writer.wait_for(20)
        (writer.faults / fault).unlink()
        writer.wait_for(20)
    writer.kill()
    refused = [words for words in writer.lines() if words[0] == "refused"]
    assert bool(refused) == fault.startswith("fail"), refused[:3]
    found = taken(writer.lines())
    assert len(found) > 40
    assert check(folder, found) == set()


class Disk:
    """Files as they are seen, and as much of them as a power cut cannot take.

    Args:
        before: a copy of a folder; all of it is safe.
        folder: the folder whose operations are taken in.
    """

    def __init__(self, before, folder):
        self._folder = folder
        self._safe = []
        self._loose = defaultdict(list)
        self._names = {}
        for path in before.rglob("*"):
            if path.is_file():
                self._names[str(path.relative_to(before))] = len(self._safe)
                self._safe.append(bytearray(path.read_bytes()))
        self._safe_names = dict(self._names)
        self._renamed = []

    def apply(self, what, offset, data, path):
        """Take in one operation of the journal."""
        names = [os.path.relpath(each, self._folder) for each in path.split("\t")]
        if what == "R":
            node = self._names.pop(names[0])
            self._names[names[1]] = node
            self._renamed += [(names[1], node), (names[0], None)]
        elif what == "U":
            self._names.pop(names[0], None)
            self._renamed.append((names[0], None))
        elif what == "S" and (self._folder / names[0]).is_dir():
            self._synchronise_names(Path(names[0]))
        elif what == "S":
            node = self._node(names[0])
            for each in self._loose.pop(node, []):
                _write(self._safe[node], *each)
        else:
            self._loose[self._node(names[0])].append((offset, data if what == "W" else None))

    def _node(self, name):
        if name not in self._names:
            self._names[name] = len(self._safe)
            self._safe.append(bytearray())
            self._renamed.append((name, self._names[name]))
        return self._names[name]

    def _synchronise_names(self, folder):
        mine = [each for each in self._renamed if Path(each[0]).parent == folder]
        self._renamed = [each for each in self._renamed if Path(each[0]).parent != folder]
        _rename(self._safe_names, mine)

    def cut(self, dice, target):
        """Write what a power cut may have left into a folder."""
        names = dict(self._safe_names)
        _rename(names, self._renamed[: dice.randint(0, len(self._renamed))])
        for name, node in names.items():
            if name.endswith("-shm"):
                continue  # shared memory, which no process shares after a cut
            content = bytearray(self._safe[node])
            for offset, data in self._loose.get(node, []):
                if dice.random() < 0.5:
                    _write(content, offset, data and _torn(dice, data))
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)


def _rename(names, changes):
    for path, node in changes:
        if node is None:
            names.pop(path, None)
        else:
            names[path] = node


def _write(content, offset, data):
    """Write to a file, or cut it at the offset if there is nothing to write."""
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _torn(dice, data):
    """Return a write, or as many whole sectors of it as came before the cut."""
    if dice.random() < 0.7:
        return data
    return data[: dice.randint(0, len(data) // SECTOR) * SECTOR]


def journal(path):
    """Yield the operations that were noted: letter, offset, bytes, path."""
    with path.open("rb") as file:
        while head := file.readline():
            if not head.endswith(b"\n"):
                return
            what, offset, length, name = head.decode().rstrip("\n").split(" ", 3)
            data = file.read(int(length)) if what in "AW" else b""
            if len(data) == int(length):
                yield what, int(offset), data, name


def lost_by_cuts(library, folder, tmp_path, synchronous):
    """Write for a while, then cut the power at many moments; return what was lost at each."""
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    writer = Writer(library, folder, synchronous)
    writer.wait_for(150)
    writer.kill()
    noted = list(journal(writer.journal))
    assert any(what == "T" for what, *_ in noted), "the log was never emptied into the database"
    dice = random.Random(SEED)
    moments = set(dice.sample(range(len(noted) // 10, len(noted)), CUTS))
    disk, said, lost = Disk(before, folder), "", []
    for number, (what, offset, data, path) in enumerate(noted):
        if number in moments:
            left = tmp_path / f"cut{number}"
            disk.cut(dice, left)
            lines = said.rpartition("\n")[0].splitlines()
            lost.append(check(left, taken(line.split() for line in lines)))
            shutil.rmtree(left)
        if what == "A":
            said += data.decode()
        else:
            disk.apply(what, offset, data, path)
    return lost


def test_24_nothing_acknowledged_is_lost_with_the_power(library, folder, tmp_path):
    assert lost_by_cuts(library, folder, tmp_path, "FULL") == [set()] * CUTS


def test_24_without_synchronising_the_same_cuts_lose_something(library, folder, tmp_path):
    """The cuts are hard enough: a database that waits for the disk at checkpoints alone loses."""
    assert any(lost_by_cuts(library, folder, tmp_path, "NORMAL"))
