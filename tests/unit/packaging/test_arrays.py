import io
import pickle
import zipfile

import numpy as np
import pytest

from thrive.domain.errors import UnsafeModel
from thrive.packaging.formats.arrays import pack_arrays, unpack_arrays

SHAPES = {"a": ("<f8", 1), "b": ("<i4", 2)}
ARRAYS = {"a": np.arange(5.0), "b": np.zeros((0, 8))}


def archive(members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return target.getvalue()


def npy(array, **options) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, np.asarray(array), **options)
    return target.getvalue()


def test_arrays_come_back_and_the_bytes_are_stable():
    data = pack_arrays(ARRAYS, SHAPES)
    found = unpack_arrays(data, SHAPES)
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])
    assert found["b"].shape == (0, 8)
    assert found["b"].dtype == np.int32
    assert pack_arrays(ARRAYS, SHAPES) == data


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_an_array_of_objects_is_refused_and_its_pickle_never_runs(tmp_path):
    canary = tmp_path / "canary"
    objects = np.array([Canary(canary)], dtype=object)
    data = archive({"a.npy": npy(objects), "b.npy": npy(np.zeros((0, 8), "<i4"))})
    with pytest.raises(UnsafeModel):
        unpack_arrays(data, SHAPES)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists(), "the canary would have sung"


def lying_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 40


GOOD_B = npy(np.zeros((0, 8), "<i4"))


@pytest.mark.parametrize(
    "members",
    [
        {"a.npy": lying_header("(1000000000000,)"), "b.npy": GOOD_B},
        {"a.npy": lying_header("(4,)"), "b.npy": GOOD_B},
        {"a.npy": lying_header("(-5,)"), "b.npy": GOOD_B},
        {"a.npy": lying_header("(5, 1)"), "b.npy": GOOD_B},
        {"a.npy": lying_header("__import__('os')"), "b.npy": GOOD_B},
        {"a.npy": npy(np.arange(5, dtype="<f4")), "b.npy": GOOD_B},
        {"a.npy": npy(np.arange(5.0), version=(2, 0)), "b.npy": GOOD_B},
        {"a.npy": b"", "b.npy": GOOD_B},
        {"a.npy": npy(np.arange(5.0))},
        {"a.npy": npy(np.arange(5.0)), "b.npy": GOOD_B, "c.npy": GOOD_B},
        {"a.npy": npy(np.arange(5.0)), "../b.npy": GOOD_B},
    ],
)
def test_archives_of_another_form_are_refused(members):
    with pytest.raises(UnsafeModel):
        unpack_arrays(archive(members), SHAPES)


def test_a_bomb_is_refused_before_it_is_inflated():
    bomb = archive({"a.npy": b"\0" * 50_000_000, "b.npy": GOOD_B}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(UnsafeModel, match="compressed"):
        unpack_arrays(bomb, SHAPES)


def test_no_archive_at_all():
    for data in (b"", b"PK\x03\x04", b"\x93NUMPY"):
        with pytest.raises(UnsafeModel):
            unpack_arrays(data, SHAPES)
