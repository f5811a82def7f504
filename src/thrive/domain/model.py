"""Registered models and their immutable versions."""

from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.errors import Refused
from thrive.domain.features import FeatureSpec

LABEL, SCORE, TIME = "_label", "_score", "_time"
"""Reserved columns of evaluation and reference tables, and of frames measured like them."""


class Stage(StrEnum):
    """Derived from the routing table, never stored: what a version does at present."""

    DEV = "dev"
    STAGING = "staging"
    PRODUCTION = "production"
    RETIRED = "retired"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model: a name that somebody answers for.

    `aliases` are names for versions; none of them moves traffic. Those that are `protected` are
    moved by whoever may release, the others by whoever may register.
    `last_version` is the highest number that was ever given: none is given twice.
    """

    name: str
    owner: str
    purpose: str
    created_at: int
    updated_at: int | None = None
    tags: dict[str, str] | None = None
    aliases: dict[str, int] | None = None
    last_version: int | None = None
    protected: list[str] | None = None


class VersionSeal(msgspec.Struct, frozen=True, kw_only=True):
    """Who vouches for a version: an Ed25519 signature over its statement.

    Attributes:
        key: the public key, in hex.
        signature: in hex.
        at: machine time of the signing, part of what is signed.
    """

    key: str
    signature: str
    at: int


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version: a package by digest, with the record of where it came from.

    `package` is the digest of the package manifest. `evaluation` is the digest of a Parquet
    table of out-of-sample rows (features, time, label, score): the rows gates judge on.
    `trained_rows` is the digest of the fingerprints of the rows it was fitted on, "" if not said.
    `reference` is the digest of a Parquet table of out-of-sample predictions over a longer
    past: what monitoring compares with. `training` lists the datasets by name and digest.
    `features` are the feature views it was trained on, None for none.
    `contract` is the digest of the contract in force at registration.
    A version that an MLflow client registered has no package and no contract: `source` says where
    its files are, `logged_model` which logged model they are of. It can be loaded by that client,
    and not be released.
    """

    model: str
    version: int
    package: str
    signature: dict[str, Any]
    metrics: dict[str, float | None]
    run_id: str
    contract: str
    commit: str
    dirty: bool
    created_at: int
    actor: str
    training: dict[str, str] = {}
    evaluation: str = ""
    reference: str = ""
    importance: dict[str, float] = {}
    features: FeatureSpec | None = None
    trained_rows: str = ""
    note: str = ""
    retired_at: int | None = None
    replay: bool = False
    source: str = ""
    logged_model: str = ""
    tags: dict[str, str] | None = None
    updated_at: int | None = None
    seal: VersionSeal | None = None

    def packaged(self) -> str:
        """Return the digest of the package.

        Raises:
            Refused: there is none: an MLflow client registered the version.
        """
        if not self.package:
            raise Refused(
                f"{self.model}@{self.version} was registered by an MLflow client and has no "
                "package: it can be loaded by that client, not judged or released.",
                "register it from a pipeline",
            )
        return self.package
