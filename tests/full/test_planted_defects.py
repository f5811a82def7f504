"""One planted defect for every check of a gate: a whole run, in which that check alone speaks.

Each defect is judged by real workers against a sound version in production. What else does not
pass is listed beside it as what follows from the defect; nothing else may speak.
"""

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.odd_models import Spoiled
from tests.unit.gates.registry import CONTRACT, Registry, flights_version

from thrive.contract.schema import BiasGate
from thrive.domain.gate import Answer, Verdict
from thrive.domain.identifiers import new_id
from thrive.domain.run import CodeRecord, Run, RunState
from thrive.flows.gating import run
from thrive.gates.bias import check_name
from thrive.gates.explain import ASKS
from thrive.gates.robustness import KINDS, ODD_ROWS
from thrive.gates.strain import strained
from thrive.packaging.manifest import PackageManifest, describe_files
from thrive.packaging.package import Package
from thrive.packaging.seal import sealed
from thrive.packaging.signature import Field, FieldKind, Output, OutputKind, Signature
from thrive.packaging.trained_rows import trained_rows
from thrive.store import datasets, gates, runs

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ROWS = 6000
LIMITS = {
    "equal_opportunity": 0.1,
    "equalized_odds": 0.1,
    "demographic_parity": 0.1,
    "selection_ratio": 0.8,
    "predictive_parity": 0.1,
    "accuracy": 0.1,
    "auc": 0.1,
    "calibration": 0.06,
    "change": 0.05,
}
OF_NUMBERS = {"mean_error": 0.2, "mean_absolute_error": 0.2}
WIDE = {**dict.fromkeys([*LIMITS, *OF_NUMBERS], 0.95), "selection_ratio": 0.01}
SAID = "a word"


def contract(limits, margin=0.03, slices=("origin",), metric="roc_auc", **words):
    named = ", ".join(f"{name} = {limit}" for name, limit in limits.items())
    head, gate = CONTRACT.split("[model.delay.gates]")
    for old, new in words.items():
        head = head.replace(f"{old} = ", f"{old} = {new!r} # ".replace("'", '"'))
    assert gate
    quoted = ", ".join(f'"{each}"' for each in slices)
    return head + (
        "[model.delay.gates]\n"
        f'quality = {{ metric = "{metric}", margin = {margin}, slices = [{quoted}] }}\n'
        f'bias = {{ groups = ["carrier"], {named} }}\n'
        "speed = { p50_ratio = 3.0 }\n"
    )


def rows_of(count=ROWS, seed=1):
    """Rows with the logits of two equally good models, and labels that come true by them."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(scale=1.6, size=count)
    return pl.DataFrame(
        {
            "own": logit + 0.1 * rng.normal(size=count),
            "before": logit + 0.1 * rng.normal(size=count),
            "origin": rng.choice(["EWR", "JFK", "LGA"], count),
            "carrier": rng.choice(["AA", "B6", "UA"], count),
            "hour": rng.integers(0, 24, count),
            "said": [SAID] * count,
            "flight": np.arange(count),
            "_label": rng.random(count) < 1 / (1 + np.exp(-logit)),
        }
    )


def packed(column, defect="", kind=OutputKind.PROBABILITY):
    """A pickle that the settings allow by its digest: it is restored in the worker."""
    inputs = (
        Field(name=column, kind=FieldKind.NUMBER, nullable=True, low=-7.0, high=7.0),
        Field(name="origin", kind=FieldKind.CATEGORY, categories=("EWR", "JFK", "LGA")),
        Field(name="said", kind=FieldKind.TEXT),
    )
    two = kind is OutputKind.PROBABILITY
    output = Output(kind=kind, classes=(False, True), positive=True) if two else Output(kind=kind)
    model = Spoiled(column, defect, (False, True) if two else ())
    files = {"model.pkl": pickle.dumps(model, protocol=5)}
    manifest = PackageManifest(
        model_format="pickle",
        files=describe_files(files),
        signature=Signature(inputs=inputs, output=output),
        created=1,
    )
    return Package(manifest=manifest, files=files)


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A defect: what is spoiled, and which checks follow from it besides the one it is for.

    `spoil` changes the rows, `defect` the model, `prepare` what the registry knows; `version` are
    fields of the version.
    """

    check: str
    answer: Answer = Answer.FAIL
    spoil: Any = None
    defect: str = ""
    contract: str = contract(LIMITS)
    version: dict[str, Any] = {}
    prepare: Any = None
    rows: int = ROWS
    kind: OutputKind = OutputKind.PROBABILITY
    also: frozenset[str] = frozenset()


def logit(score):
    return np.log(np.clip(score, 1e-9, 1) / np.clip(1 - score, 1e-9, 1))


def spoiled(where: Callable[..., Any], change: Callable[..., Any]):
    """Return what changes the scores of some rows: (score, label) -> score."""

    def spoil(rows):
        score = 1 / (1 + np.exp(-rows["own"].to_numpy()))
        label = rows["_label"].to_numpy()
        there = where(rows, label)
        return rows.with_columns(own=logit(np.where(there, change(score), score)))

    return spoil


def in_group(change, labels=None):
    def where(rows, label):
        there = (rows["carrier"] == "B6").to_numpy()
        return there if labels is None else there & (label == labels)

    return spoiled(where, change)


def biased(measure, change, labels=None, also=frozenset()):
    limits = {**{name: WIDE[name] for name in LIMITS}, measure: LIMITS[measure]}
    return Planted(
        check=check_name(measure),
        spoil=in_group(change, labels),
        contract=contract(limits, margin=0.9),
        also=frozenset(also),
    )


def wrong_numbers(measure, change):
    limits = {**{name: WIDE[name] for name in OF_NUMBERS}, measure: OF_NUMBERS[measure]}

    def spoil(rows):
        there = (rows["carrier"] == "B6").to_numpy()
        noise = np.random.default_rng(2).normal(size=len(rows))
        return rows.with_columns(
            _label=pl.col("before") + pl.Series(noise) * 0.5,
            own=pl.col("own") + np.where(there, change(noise), 0.0),
        )

    return Planted(
        check=check_name(measure),
        spoil=spoil,
        kind=OutputKind.NUMBER,
        contract=contract(limits, margin=0.9, slices=(), metric="auto"),
    )


def worse(amount):
    def spoil(rows):
        noise = np.random.default_rng(7).normal(size=len(rows))
        calibrated = 1.6**2 / (1.6**2 + amount**2)
        return rows.with_columns(own=(pl.col("own") + amount * noise) * calibrated)

    return spoil


def fewer_of_each(rows):
    """Forty groups, each too small to be judged."""
    return rows.with_columns(carrier=pl.format("c{}", pl.int_range(pl.len()) % 40))


def leaking(planting):
    known = planting.rows.select("own", "origin", "flight").head(2000)
    kept = trained_rows(known, known.columns).to_bytes()
    return {"trained_rows": planting.home.blobs.put(kept)}


def recorded(digest, **changes):
    def prepare(planting):
        with planting.home.write() as tx:
            made = flights_version(version=2, digest=digest * 64, **changes)
            datasets.insert_version(tx, planting.home.project_id, made)
        return {"training": {"flights": digest * 64}}

    return prepare


def without_seal(_planting):
    return {"seal": None}


def other_library(planting):
    return {"run_id": planting.run("numpy==0.1.0\n")}


def edited(planting):
    text = planting.terms.replace("margin = 0.03", "margin = 0.3")
    (planting.folder / "thrive.toml").write_text(text)
    return {}


def reused(planting):
    table = planting.table()
    with planting.home.write() as tx:
        for number in range(100):
            digests = {"production": "", "contract": "c", "record": "0" * 64}
            verdict = Verdict(
                verdict_id=new_id(), model="delay", version=9, against=None, baseline="prior",
                answer=Answer.PASS, results=[], candidate=f"{number:064d}",
                test_data=table, created_at=1, actor="gate", **digests,
            )  # fmt: skip
            gates.insert_verdict(tx, planting.home.project_id, verdict)
    return {}


OWN = """
from thrive.gates import check, failed

@check("few alarms")
def few(case):
    return failed("All of them are alarms.")
"""


def own_check(planting):
    place = planting.folder / "installed"
    known = place / "own_gates-1.dist-info"
    known.mkdir(parents=True)
    (place / "own_gates.py").write_text(OWN)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: own-gates\nVersion: 1\n")
    (known / "entry_points.txt").write_text("[thrive.gates]\nfew = own_gates:few\n")
    planting.patch.syspath_prepend(str(place))
    return {}


QUIET = {name: WIDE[name] for name in LIMITS}
CLEAR = Answer.CANNOT_TELL
DEFECTS = [
    Planted(
        check="quality",
        spoil=worse(3.0),
        rows=390,  # too few for a search
        contract=contract(QUIET, slices=()),
        also=frozenset({"calibration"}),
    ),
    Planted(
        check="slices",
        spoil=spoiled(lambda rows, _: (rows["origin"] == "LGA").to_numpy(), lambda s: 1 - s),
        rows=390,  # too few for a search, which would find this slice as well
        contract=contract(QUIET, margin=0.4),
        also=frozenset({"calibration"}),
    ),
    Planted(
        check="found slices",
        spoil=spoiled(lambda rows, _: (rows["hour"] < 3).to_numpy(), lambda s: 1 - s),
        contract=contract(QUIET, margin=0.2),
    ),
    Planted(
        check="calibration",
        spoil=spoiled(lambda rows, _: np.ones(len(rows), bool), lambda s: s**0.4),
        contract=contract(QUIET),
    ),
    Planted(check="leak", prepare=leaking),
    biased("equal_opportunity", lambda s: s * 0.75, labels=True),
    biased("equalized_odds", lambda s: s**0.6, labels=False),
    biased("demographic_parity", lambda s: s * 0.75),
    biased("selection_ratio", lambda s: s * 0.7),
    biased("predictive_parity", lambda s: s**0.4, labels=False),
    biased("accuracy", lambda s: 1 - s, also={"calibration"}),
    biased("auc", lambda s: np.random.default_rng(3).random(len(s)), also={"calibration"}),
    biased("calibration", lambda s: s**0.6),
    biased("change", lambda s: s**0.4, also={"calibration"}),
    wrong_numbers("mean_error", lambda _: 0.5),
    wrong_numbers("mean_absolute_error", lambda noise: 1.5 * np.sign(noise)),
    Planted(
        check="groups",
        answer=CLEAR,
        spoil=fewer_of_each,
        rows=900,
        contract=contract({"accuracy": 0.95}, margin=0.9, slices=()),
        also=frozenset({"accuracy"}),
    ),
    *(Planted(check=name, defect=name) for name in KINDS if name != "column order"),
    Planted(
        check="answers",
        defect="answers",
        contract=contract({"accuracy": 0.95}, slices=()),
        also=frozenset({"quality", "accuracy", "speed", *KINDS}),
    ),
    Planted(check=ODD_ROWS, defect=ODD_ROWS, also=frozenset({"speed"})),
    Planted(check="noise", answer=CLEAR, defect="noise", contract=contract(QUIET, margin=0.9),
            also=frozenset({"calibration"})),
    Planted(check="contract", contract=contract(LIMITS, risk="undecided"),
            also=frozenset({"duties"})),
    Planted(check="data", prepare=recorded("e", trainable=False)),
    Planted(check="licence", answer=CLEAR, contract=contract(LIMITS, licence="CC-BY-NC-4.0")),
    Planted(check="retention", prepare=recorded("f", created_at=1), also=frozenset({"duties"})),
    Planted(check="environment", answer=CLEAR, version={"commit": ""}),
    Planted(check="lock file", prepare=other_library),
    Planted(check="seal", answer=CLEAR, prepare=without_seal),
    Planted(check="contract on disk", answer=CLEAR, prepare=edited),
    Planted(check="test data reuse", answer=CLEAR, prepare=reused),
    Planted(check="speed", defect="speed"),
    Planted(check="few alarms", prepare=own_check),
]  # fmt: skip


class Planting:
    """A registry with a sound version in production, and a candidate with a defect beside it."""

    def __init__(self, home, folder, patch, planted):
        self.home, self.folder, self.patch, self.planted = home, folder, patch, planted
        self.registry = Registry(home)
        self.terms = planted.contract
        self.rows = rows_of(planted.rows)
        if planted.spoil is not None:
            self.rows = planted.spoil(self.rows)
        self.production = packed("before", kind=planted.kind)
        self.candidate = packed("own", planted.defect, planted.kind)
        patch.setenv("PYTHONPATH", str(ROOT))
        allowed = (f"delay={one.digest}" for one in (self.production, self.candidate))
        patch.setenv("THRIVE_ALLOW_PICKLES", " ".join(allowed))

    def run(self, lock):
        """Keep a run with libraries, and a lock file beside its code; return its id."""
        stream = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as squeezed,
            tarfile.open(fileobj=squeezed, mode="w") as archive,
        ):
            member = tarfile.TarInfo("requirements.txt")
            member.size = len(lock)
            archive.addfile(member, io.BytesIO(lock.encode()))
        code = CodeRecord(
            entry="train.py", commit="c", bundle=self.home.blobs.put(stream.getvalue())
        )
        made = Run(
            run_id=new_id(), experiment="e", name="n", state=RunState.DONE, actor="tester",
            started_at=1, code=code,
            environment={"python": "3.12.1", "libraries": ["numpy==2.2.0"]},
        )  # fmt: skip
        with self.home.write() as tx:
            runs.save(tx, self.home.project_id, made)
        return made.run_id

    def judged(self, context, *, first=False):
        add = self.registry.add
        live = add(None, None, rows_of(), package=self.production, contract=self.terms)
        if not first:
            self.registry.make_live(live)
        fresh = rows_of(50, seed=9).select("own", "origin", "flight")
        fields = {
            "run_id": self.run("numpy==2.2.0\n"),
            "trained_rows": self.home.blobs.put(trained_rows(fresh, fresh.columns).to_bytes()),
            "seal": sealed(b"k" * 32, "delay", 2, self.candidate.digest, 1),
            **self.planted.version,
        }
        if self.planted.prepare is not None:
            fields |= self.planted.prepare(self)
        add(None, None, self.rows, package=self.candidate, contract=self.terms, **fields)
        return run(context, "delay@2")

    def table(self):
        """Keep the candidate's evaluation table; return its digest."""
        stream = io.BytesIO()
        self.rows.write_parquet(stream)
        return self.home.blobs.put(stream.getvalue())


def spoken(verdict):
    return {one.check: one.answer for one in verdict.results if one.answer is not Answer.PASS}


def test_a_sound_version_passes_every_check(home, context, tmp_path, monkeypatch):
    verdict = Planting(home, tmp_path, monkeypatch, Planted(check="")).judged(context)
    told = {one.check: one.summary for one in verdict.results if one.answer is not Answer.PASS}
    allowed = {"package"}
    assert set(told) <= allowed, told
    assert verdict.answer is Answer.PASS


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda one: one.check)
def test_a_planted_defect_is_caught_by_its_check_alone(
    home, context, tmp_path, monkeypatch, planted
):
    verdict = Planting(home, tmp_path, monkeypatch, planted).judged(context)
    found = spoken(verdict)
    words = {one.check: one.summary for one in verdict.results if one.check in found}
    assert found.get(planted.check) is planted.answer, words
    assert set(found) - {planted.check} <= planted.also, words
    blocking = {one.check for one in verdict.results if not one.advisory}
    failed = {name for name, answer in found.items() if answer is Answer.FAIL} & blocking
    assert failed <= {planted.check}, words


@pytest.mark.parametrize(("noise", "answer"), [(3.0, Answer.PASS), (0.1, Answer.CANNOT_TELL)])
def test_a_first_version_must_be_better_than_what_decides_today(
    home, context, tmp_path, monkeypatch, noise, answer
):
    """The rule of today is a column of the evaluation table, named by the contract."""

    def with_rule(rows):
        shaken = noise * np.random.default_rng(6).normal(size=len(rows))
        return rows.with_columns(rule=pl.col("before") + shaken)

    terms = contract(LIMITS).replace('"roc_auc",', '"roc_auc", baseline = "rule",')
    planted = Planted(check="quality", spoil=with_rule, contract=terms)
    verdict = Planting(home, tmp_path, monkeypatch, planted).judged(context, first=True)
    assert verdict.baseline == "rule"
    assert spoken(verdict).get("quality", Answer.PASS) is answer


class ByPlace:
    """A predictor that takes its first column, whatever its name."""

    signature = Signature(
        inputs=(
            Field(name="a", kind=FieldKind.NUMBER),
            Field(name="b", kind=FieldKind.NUMBER),
        ),
        output=Output(kind=OutputKind.NUMBER),
    )

    def predict(self, columns):
        return next(iter(columns.values()))

    def describe(self):
        return {}


def test_a_predictor_that_goes_by_place_is_caught_by_the_column_order_alone():
    """Every format of a package goes by name, so that no package can have this defect."""
    columns = {"a": np.arange(5.0), "b": -np.arange(5.0)}
    failed = {one["kind"] for one in strained(ByPlace(), columns) if one["failure"]}
    assert failed - {"wrong types"} == {"column order"}  # wrong types are refused, with a message


def test_a_format_that_runs_code_is_caught(home, context, tmp_path, monkeypatch):
    """It is not loaded, so that it gives no answers either."""
    planting = Planting(home, tmp_path, monkeypatch, Planted(check="package"))
    monkeypatch.setenv("THRIVE_ALLOW_PICKLES", f"delay={planting.production.digest}")
    verdict = planting.judged(context)
    failed = {name for name, answer in spoken(verdict).items() if answer is Answer.FAIL}
    assert failed == {"package", "answers"}


def test_every_check_has_a_planted_defect():
    settings = {"groups", "source", "key"}
    measures = {check_name(name) for name in set(BiasGate.__struct_fields__) - settings}
    known = {*ASKS, *KINDS, ODD_ROWS, *measures}
    elsewhere = {"package", "column order"}
    elsewhere |= {"duties", "labels"}  # what they tell follows from another check, or never fails
    assert {one.check for one in DEFECTS} - {"few alarms"} == known - elsewhere
