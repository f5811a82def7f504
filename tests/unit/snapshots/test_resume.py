"""A reading that was broken off goes on where it was."""

import pytest

from thrive.store.snapshots import packs
from thrive.store.snapshots.journal import Journal


def test_what_was_packed_before_a_kill_is_not_read_again(keep, folder, blobs, monkeypatch):
    monkeypatch.setattr(packs, "PACK_BYTES", 10_000)
    for number in range(100):
        (folder / f"{number:03}.bin").write_bytes(bytes([number]) * 1000)
    plain, count = type(blobs).put, [0]

    def put(self, data):
        count[0] += 1
        if count[0] == 4:
            raise KeyboardInterrupt
        return plain(self, data)

    monkeypatch.setattr(type(blobs), "put", put)
    with pytest.raises(KeyboardInterrupt):
        keep()
    stored = set(blobs.digests())
    assert len(stored) == 3
    monkeypatch.setattr(type(blobs), "put", plain)
    snapshot = keep().snapshot
    assert stored < {place[0].hex() for place in snapshot.places}
    assert sum(blobs.size(digest) for digest in blobs.digests()) == 100_000


def test_lines_whose_blobs_went_and_torn_ends_are_left_out(blobs, tmp_path):
    journal = Journal(tmp_path / "journal")
    kept = bytes.fromhex(blobs.put(b"kept"))
    gone = bytes.fromhex(blobs.put(b"gone"))
    journal.append([(("a", 1, 2, 3, 4), kept, None), (("b", 1, 2, 3, 4), b"\1" * 32, (gone, 7))])
    journal.append([(("c", 1, 2, 3, 4), kept, None)])
    blobs.delete(gone.hex())
    path = tmp_path / "journal"
    path.write_bytes(path.read_bytes()[:-3])
    assert journal.read(blobs) == {("a", 1, 2, 3, 4): (kept, None)}
    journal.remove()
    assert journal.read(blobs) == {}
