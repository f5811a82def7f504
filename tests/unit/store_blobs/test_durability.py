"""Durability is waited for when it is not there yet, and only then."""

import pytest

from thrive.store.blobs import FolderBlobs, folder


@pytest.fixture
def synced(monkeypatch) -> list:
    calls: list = []
    monkeypatch.setattr(folder, "sync_folder", calls.append)
    return calls


def test_a_fresh_blob_of_another_writer_is_synchronised_before_it_is_acknowledged(tmp_path, synced):
    digest = FolderBlobs(tmp_path, durable=False).put(b"not yet durable")
    assert synced == []
    FolderBlobs(tmp_path).put(b"not yet durable")
    assert synced == [tmp_path / digest[:2]]


def test_a_settled_blob_costs_a_look(tmp_path, synced, monkeypatch):
    blobs = FolderBlobs(tmp_path)
    blobs.put(b"old")
    synced.clear()
    now = folder.time.time()
    monkeypatch.setattr(folder.time, "time", lambda: now + 61)
    monkeypatch.setattr(folder.os, "open", lambda *_: pytest.fail("wrote a settled blob again"))
    blobs.put(b"old")
    assert synced == []
    assert list((tmp_path / "tmp").iterdir()) == []
