"""Records of a filled home that stand for themselves: data, governance, evidence."""

import struct
import zlib

import msgspec
from msgspec.structs import replace

from thrive.domain.clock import DAY, parse_time
from thrive.domain.dataset import Column, Dataset, DatasetVersion
from thrive.domain.duty import (
    AuditSeal,
    DataGrant,
    Drill,
    DutyAnswers,
    DutyException,
    Incident,
    IncidentKind,
    LegalHold,
    RiskEntry,
    StoredDocument,
)
from thrive.domain.identifiers import new_id
from thrive.governance.document import Document, DocumentKind
from thrive.governance.facts import Section, stated
from thrive.governance.render import as_json
from thrive.operations import Context
from thrive.release.evidence import Agreement, Counts, Evidence
from thrive.release.quality import Quality
from thrive.store import datasets, duties, holds, oversight

NOW = parse_time("2013-08-19T06:00Z")
START = parse_time("2013-06-21T00:00Z")
EVIL = "<img src=x onerror=alert(1)>"
DIGEST = "3f" * 32
MODEL = "flight-delay"


def small_png(shade: int) -> bytes:
    """Return a grey picture of 48 x 32 pixels as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 48, 32, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([shade]) * 48) * 32)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def add_data(context: Context) -> None:
    """Add a dataset of two versions, the second of which runs may not train on."""
    profile = {
        "rows": 336_776,
        "columns": {
            "dep_hour": {
                "missing": 8255, "distinct": 20, "min": 0, "max": 23, "mean": 13.18,
                "std": 4.66, "quantiles": {"0.5": 13.0}, "top": [],
            },
            "carrier": {
                "missing": 0, "distinct": 16, "top": [["UA", 58665], ["B6", 54635]],
            },
            EVIL: {"missing": 12, "distinct": 3, "top": [[EVIL, 4]]},
        },
    }  # fmt: skip
    with context.observe("model:filled") as tx:
        datasets.save(
            tx,
            context.project_id,
            Dataset(
                name="flights",
                owner="data-platform",
                why="Past departures with their real arrival delay.",
                created_at=START - 30 * DAY,
            ),
        )
        for number in (1, 2):
            version = DatasetVersion(
                dataset="flights",
                version=number,
                digest=f"{number}a" * 32,
                source="data/flights/*.parquet",
                file_count=1,
                rows=336_776,
                size=9_300_000 * number,
                columns=[
                    Column(name="dep_hour", dtype="Int64", personal="none"),
                    Column(name="carrier", dtype="String"),
                    Column(name=EVIL, dtype="String"),
                ],
                created_at=START - (30 - 20 * (number - 1)) * DAY,
                actor="ana",
                profile=profile,
                checks=[
                    {"check": "unique(flight_id)", "state": "pass", "found": "no repeats"},
                    {"check": f"fresh {EVIL}", "state": "fail", "found": EVIL},
                ],
                trainable=number == 1,
                replay=True,
            )
            datasets.insert_version(tx, context.project_id, version)


def add_governance(context: Context) -> tuple[str, str]:
    """Keep one of each record of governance; return the digest of a document and an incident."""
    document = Document(
        kind=DocumentKind.TECHNICAL_FILE,
        subject=f"{MODEL}@2",
        sections=[
            Section(
                title="What it is",
                facts=[
                    stated("Purpose", "tell the operations desk early", f"model:{MODEL}"),
                    stated("Known limits", EVIL, f"answers:{MODEL}"),
                    stated("Standards applied", None, ""),
                ],
            ),
            Section(title="Risks", facts=[]),
        ],
    )
    digest = context.home.blobs.put(as_json(document))
    kept = StoredDocument(
        kind="technical-file", subject=document.subject, digest=digest, html=digest,
        markdown=digest, missing=document.missing, actor="ana", at=NOW - DAY,
    )  # fmt: skip
    older = replace(
        document,
        subject=f"{MODEL}@1",
        sections=[
            Section(
                title="What it is",
                facts=[
                    stated("Purpose", "tell the operations desk", f"model:{MODEL}"),
                    stated("Known limits", EVIL, f"answers:{MODEL}"),
                ],
            )
        ],
    )
    before = replace(
        kept, subject=older.subject, digest=context.home.blobs.put(as_json(older)), at=NOW - 9 * DAY
    )
    answers = DutyAnswers(
        model=MODEL, digest="a1" * 32, fields={"known_limits": EVIL}, actor="ana", at=NOW,
        risks={"late": RiskEntry(what="a crew waits in vain", measure="a fallback")},
    )  # fmt: skip
    exception = DutyException(
        exception_id=new_id(), model=MODEL, duty="ai-iv-7-standards", role="platform",
        actor="cleo", reason=f"in work {EVIL}", given_at=NOW - DAY, expires_at=NOW + 9 * DAY,
    )  # fmt: skip
    incident = Incident(
        incident_id=new_id(), model=MODEL, version=2, kind=IncidentKind.SERIOUS,
        what=f"a crew was sent home {EVIL}", actor="ana", aware_at=NOW - 2 * DAY,
        opened_at=NOW - DAY, due_at=NOW + 13 * DAY,
    )  # fmt: skip
    hold = LegalHold(
        hold_id=new_id(), subject="project", reason=f"incident {incident.incident_id}",
        actor="ana", placed_at=NOW - DAY,
    )  # fmt: skip
    grant = DataGrant(
        grant_id=new_id(), dataset="flights", columns=["tailnum"], reader="ben",
        purpose="delay-warning", reason="checks of the join", actor="cleo",
        given_at=NOW - DAY, expires_at=NOW + DAY,
    )  # fmt: skip
    seal = AuditSeal(seq=1, digest=DIGEST, at=NOW - DAY, signed_by="ab" * 32)
    drill = Drill(drill_id=new_id(), model=MODEL, actor="ben", at=NOW, hosts=2, took=812_000)
    with context.observe("model:filled") as tx:
        duties.keep_document(tx, context.project_id, before)
        duties.keep_document(tx, context.project_id, kept)
        duties.add_answers(tx, context.project_id, answers)
        duties.add_exception(tx, context.project_id, exception)
        oversight.add_incident(tx, context.project_id, incident)
        holds.add_hold(tx, context.project_id, hold)
        oversight.add_grant(tx, context.project_id, grant)
        oversight.add_seal(tx, context.project_id, seal)
        oversight.add_drill(tx, context.project_id, drill)
    return digest, incident.incident_id


def seen() -> Evidence:
    """Return what an A/B phase showed: answers as good, fewer failed, outcomes that differ."""
    compared = Quality(
        metric="roc_auc", margin=0.005, production=0.742, candidate=0.748, difference=0.006,
        low=-0.004, high=0.016, rows_production=9120, rows_candidate=9088, paired=True,
    )  # fmt: skip
    return Evidence(
        production=Counts(requests=9120, errors=10, slow=71, rows=9110, longest_run=2),
        candidate=Counts(requests=9088, errors=9, slow=64, rows=9079, longest_run=1),
        assigned=(9120, 9088),
        agreement=Agreement(rows=9120, other_decisions=0.041, score_shift=0.002, far=0.01),
        quality=compared,
        groups=msgspec.structs.replace(compared, low=-0.021, high=0.033, paired=False),
    )
