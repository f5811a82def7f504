"""Every table of the store, one module a noun; the place where a stored fact is declared.

Each table leads with `project_id`: projects are walls. Times are UTC microseconds, ids 32 hex,
digests 64 hex; what is only ever read whole is JSON. Migrations bring a database to this shape,
and a test holds the two together. Repositories (`thrive.store.runs`, ...) are the only readers.
"""

from thrive.store.tables.columns import metadata
from thrive.store.tables.data import (
    column_labels,
    dataset_tags,
    dataset_versions,
    datasets,
    source_states,
)
from thrive.store.tables.erasures import erasures, tombstones
from thrive.store.tables.features import feature_views, materializations
from thrive.store.tables.gates import approvals, verdicts
from thrive.store.tables.governance import (
    audit_seals,
    data_grants,
    data_reads,
    documents,
    drills,
    duty_answers,
    duty_exceptions,
    incidents,
    legal_holds,
    reviews,
)
from thrive.store.tables.models import model_versions, models
from thrive.store.tables.monitoring import alerts, decisions, windows
from thrive.store.tables.predictions import outcomes, sealed_logs
from thrive.store.tables.project import (
    audit,
    audit_heads,
    blob_references,
    changes,
    contracts,
    jobs,
    leases,
    projects,
    sessions,
    team_contacts,
    tokens,
    transcripts,
    upload_parts,
    webhooks,
)
from thrive.store.tables.releases import releases, routing, serving_hosts
from thrive.store.tables.runs import (
    artifacts,
    experiments,
    logged_models,
    metric_chunks,
    runs,
    step_codes,
    steps,
    uses,
)
from thrive.store.tables.schedules import firings, schedules

__all__ = [
    "alerts",
    "approvals",
    "artifacts",
    "audit",
    "audit_heads",
    "audit_seals",
    "blob_references",
    "changes",
    "column_labels",
    "contracts",
    "data_grants",
    "data_reads",
    "dataset_tags",
    "dataset_versions",
    "datasets",
    "decisions",
    "documents",
    "drills",
    "duty_answers",
    "duty_exceptions",
    "erasures",
    "experiments",
    "feature_views",
    "firings",
    "incidents",
    "jobs",
    "leases",
    "legal_holds",
    "logged_models",
    "materializations",
    "metadata",
    "metric_chunks",
    "model_versions",
    "models",
    "outcomes",
    "projects",
    "releases",
    "reviews",
    "routing",
    "runs",
    "schedules",
    "sealed_logs",
    "serving_hosts",
    "sessions",
    "source_states",
    "step_codes",
    "steps",
    "team_contacts",
    "tokens",
    "tombstones",
    "transcripts",
    "upload_parts",
    "uses",
    "verdicts",
    "webhooks",
    "windows",
]
