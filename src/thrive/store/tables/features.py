"""Feature views and what the online store holds of them."""

from sqlalchemy import Table

from thrive.store.tables.columns import (
    digest,
    flag,
    key,
    key_number,
    metadata,
    name,
    number,
    project,
    value,
)

feature_views = Table(
    "feature_views",
    metadata,
    project(),
    key("name", 64),
    key_number("version"),
    digest("digest"),
    value("definition"),
    value("keys"),
    value("columns"),
    number("created_at"),
    name("actor"),
)

materializations = Table(
    "materializations",
    metadata,
    project(),
    key("view", 64),
    key("digest", 64),
    value("sources"),
    number("until"),
    flag("complete"),
    number("rows"),
    number("changed"),
    number("newest", null=True),
    number("at"),
    number("told_late", null=True),
)
