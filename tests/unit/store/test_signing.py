"""Keys of a home: a file of its own, or one that all hosts of a team are given."""

import pytest

from thrive.domain.errors import UsageError
from thrive.store.signing import signing_key


def test_a_key_is_made_once_and_a_given_one_stands_before_it(tmp_path, monkeypatch):
    own = signing_key(tmp_path)
    assert own == signing_key(tmp_path)
    assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("THRIVE_SIGNING_KEY", "ab" * 32)
    assert signing_key(tmp_path) == bytes.fromhex("ab" * 32) != own
    for wrong in ("ab", "ab" * 33, "no key"):
        monkeypatch.setenv("THRIVE_SIGNING_KEY", wrong)
        with pytest.raises(UsageError, match="THRIVE_SIGNING_KEY is no key") as told:
            signing_key(tmp_path)
        assert "64" in told.value.hint
