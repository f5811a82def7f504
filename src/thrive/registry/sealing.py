"""Who vouches for a version: sealing it with the key of this machine, and proving a seal."""

import msgspec

from thrive.domain.actor import ANYONE, RELEASERS
from thrive.domain.clock import machine_now
from thrive.domain.errors import Damaged, NotFound, UnsafeModel
from thrive.domain.model import ModelVersion, VersionSeal
from thrive.domain.reference import format_reference, parse_reference
from thrive.operations import Context, operation
from thrive.packaging.manifest import digest_of, read_manifest
from thrive.packaging.seal import check_here, sealed
from thrive.store import models
from thrive.store.signing import signing_key


class SealProof(msgspec.Struct, frozen=True, kw_only=True):
    """What of a version holds: its files, and who vouches for them.

    Attributes:
        model: the model's name.
        version: its number.
        package: the digest of the package.
        files: how many files have their digests.
        key: the public key that sealed it, empty for none.
        sealed_at: when, in UTC microseconds.
        holds: whether all of it is right and trusted here.
        problems: what is not, in words.
    """

    model: str
    version: int
    package: str
    files: int
    key: str
    sealed_at: int | None
    holds: bool
    problems: list[str]

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 if all holds, else 1."""
        return 0 if self.holds else 1


@operation("models verify", role=ANYONE)
def verify_model(ctx: Context, model: str) -> SealProof:
    """Prove that each file of a version has its digest, and that who sealed it is trusted here.

    Exit code 1 if anything is not right. Whom this machine trusts stands in THRIVE_MODEL_KEYS.

    Args:
        model: MODEL for the newest version, or MODEL@VERSION.

    Raises:
        NotFound: there is no such version.
        Refused: an MLflow client registered it: it has no package.

    Examples:
        thrive models verify flight-delay@1
    """
    name, number = parse_reference(model)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
    package = version.packaged()
    files, problems = _damaged(ctx, package)
    try:
        check_here(version.seal, name, version.version, package)
    except UnsafeModel as error:
        problems.append(error.what)
    return SealProof(
        model=name,
        version=version.version,
        package=package,
        files=files,
        key=version.seal.key if version.seal else "",
        sealed_at=version.seal.at if version.seal else None,
        holds=not problems,
        problems=problems,
    )


@operation("models sign", role=RELEASERS, writes=True, next_hint="thrive models verify {model}")
def sign_model(ctx: Context, model: str) -> ModelVersion:
    """Vouch for a version with the key of this machine, in place of who did before.

    Args:
        model: MODEL for the newest version, or MODEL@VERSION.

    Raises:
        NotFound: there is no such version, or a file of it is missing.
        Damaged: a file of it does not have its digest.
        Refused: an MLflow client registered it: it has no package.

    Examples:
        thrive models sign flight-delay@1
    """
    name, number = parse_reference(model)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
    label = format_reference(name, version.version)
    _, problems = _damaged(ctx, version.packaged())
    if problems:
        raise Damaged(f"{label} is not whole: {problems[0]}.", "thrive doctor")
    seal = new_seal(ctx, name, version.version, version.package)
    with ctx.write(f"model:{name}", version=version.version, key=seal.key) as tx:
        present = models.get_version(tx, ctx.project_id, name, version.version)
        after = msgspec.structs.replace(present, seal=seal)
        models.replace_version(tx, ctx.project_id, after)
    return after


def new_seal(ctx: Context, name: str, number: int, package: str) -> VersionSeal:
    """Return a seal by the key of this home on this machine."""
    return sealed(signing_key(ctx.home.folder), name, number, package, machine_now())


def _damaged(ctx: Context, package: str) -> tuple[int, list[str]]:
    """Return how many files of a package are right, and what is wrong with the others."""
    try:
        manifest = read_manifest(ctx.home.blobs.get(package), digest=package)
    except (NotFound, Damaged, UnsafeModel) as error:
        return 0, [f"the manifest: {error.what}"]
    problems: list[str] = []
    for name, entry in manifest.files.items():
        try:
            if digest_of(ctx.home.blobs.get(entry.digest)) != entry.digest:
                problems.append(f"{name} does not have its digest")
        except (NotFound, Damaged) as error:
            problems.append(f"{name}: {error.what}")
    return len(manifest.files) - len(problems), problems
