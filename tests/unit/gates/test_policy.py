"""The rules of a gate: retention, who vouches, the lock file, the contract on disk."""

import io
import tarfile

import msgspec
import pytest
from tests.unit.gates.registry import CONTRACT, flights_version
from tests.unit.gates.test_checks import version

from thrive.contract.parse import parse
from thrive.domain.clock import DAY
from thrive.domain.gate import Answer
from thrive.gates.contract_file import check_contract_file
from thrive.gates.formats.sarif import Finding
from thrive.gates.lock_file import check_lock_file
from thrive.gates.policy import check_licence, check_retention, check_seal
from thrive.packaging.seal import sealed

YEAR = 365 * DAY
RAN = {"libraries": ["numpy==2.2.0", "polars==1.9.0", "scikit_learn==1.6.1", "thrive==1.0"]}


@pytest.mark.parametrize(("years", "answer"), [(4, Answer.PASS), (6, Answer.FAIL)])
def test_data_that_may_not_be_kept_any_more_is_refused(years, answer):
    parsed = parse(CONTRACT)
    made = flights_version(created_at=YEAR)
    found = check_retention(parsed, {"flights": made, "other": None}, YEAR + years * YEAR)
    assert (found.answer, found.group) == (answer, "history")
    assert "flights until 1975-12-3" in found.summary
    silent = parse(CONTRACT.replace('retention = "5 years"\n', ""))
    assert check_retention(silent, {"flights": made}, 99 * YEAR) is None


def test_who_vouches_is_told_and_whether_the_key_is_trusted(monkeypatch):
    assert check_seal(version()).answer is Answer.CANNOT_TELL
    seal = sealed(b"k" * 32, "delay", 2, "p2", 1)
    signed = version(seal=seal)
    assert (check_seal(signed).answer, "trusted" in check_seal(signed).summary) == (
        Answer.PASS, False,
    )  # fmt: skip
    monkeypatch.setenv("THRIVE_MODEL_KEYS", seal.key)
    assert "a trusted key" in check_seal(signed).summary


@pytest.mark.parametrize(
    ("licence", "answer"),
    [("CC-BY-NC-4.0", Answer.CANNOT_TELL), ("for research only", Answer.CANNOT_TELL),
     ("CC-BY-4.0", Answer.PASS), ("ours", Answer.PASS)],
)  # fmt: skip
def test_a_licence_that_may_forbid_the_use_is_told(licence, answer):
    found = check_licence(version(), parse(CONTRACT.replace("CC0-1.0", licence)))
    assert (found.answer, found.advisory) == (answer, True)


def bundle(blobs, **files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return blobs.put(stream.getvalue())


LOCKED = '[[{0}]]\nname = "NumPy"\nversion = "{1}"\n[[{0}]]\nname = "elsewhere"\nversion = "9"\n'
PINNED = "numpy=={1}  # via a\nscikit-learn[all]==1.6.1 ; python_version > '3.10'\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pylock.toml", LOCKED.format("packages", "{1}")),
        ("uv.lock", LOCKED.format("package", "{1}")),
        ("requirements.txt", PINNED),
    ],
)
def test_libraries_are_compared_with_the_lock_file(home, file, text):
    def judged(numpy):
        held = bundle(home.blobs, **{"train.py": "", file: text.replace("{1}", numpy)})
        return check_lock_file(held, RAN, home.blobs)

    assert judged("2.2.0").answer is Answer.PASS
    differs = judged("2.1.0")
    assert (differs.answer, differs.advisory) == (Answer.FAIL, True)
    assert differs.summary == f"Not made with what {file} locks: numpy 2.2.0, locked 2.1.0."


def test_without_a_lock_file_it_cannot_be_told(home):
    held = bundle(home.blobs, **{"uv.lock": "not = [toml", "requirements.txt": "numpy>=2\n"})
    for code, ran in ((held, RAN), ("", RAN), (held, {})):
        assert check_lock_file(code, ran, home.blobs).answer is Answer.CANNOT_TELL


def test_a_contract_on_disk_that_asks_otherwise_is_told(tmp_path):
    stored = parse(CONTRACT)
    assert check_contract_file("delay", stored, None) is None
    assert check_contract_file("delay", stored, tmp_path) is None
    file = tmp_path / "thrive.toml"
    file.write_text(CONTRACT.replace("Past departures", "All departures"))
    assert check_contract_file("delay", stored, tmp_path) is None
    file.write_text(CONTRACT.replace("margin = 0.02", "margin = 0.1"))
    found = check_contract_file("delay", stored, tmp_path)
    assert "gates.quality.margin is 0.1, judged by 0.02." in found.summary
    assert (found.answer, found.advisory) == (Answer.CANNOT_TELL, True)
    (finding,) = msgspec.convert(found.evidence["findings"], list[Finding])
    assert "margin = 0.1" in file.read_text().splitlines()[finding.line - 1]
