"""Operations on local files, against a server: files go and come by digest, the rest is its work.

Each reads what is on this machine, sends the bytes that the server lacks, and calls the operation
there that makes something of them; or brings bytes and writes them here.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import msgspec
from blake3 import blake3

from thrive.client.blobs import RemoteBlobs
from thrive.client.serving_host import serve_remote
from thrive.contract.parse import CONTRACT_FILE, load
from thrive.data.adding import deliver
from thrive.data.diff_page import write_page
from thrive.data.lockfile import pin
from thrive.data.reading import split_name
from thrive.data.storing import CheckedOut
from thrive.data.wanted import wanted_in
from thrive.domain.clock import machine_now
from thrive.domain.dataset import AddedVersion, FileEntry
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import is_id
from thrive.domain.prediction import ParkedOutcome
from thrive.domain.project import AuditEntry
from thrive.feedback.files import read_told
from thrive.flows.auditing import exported, verify_file, write_export
from thrive.gates.files_out import Wanted, write_outputs
from thrive.gates.gate_file import problems, read_gate_file
from thrive.gates.operations import comment_on, trusted, verification
from thrive.governance.answers import parse_given, read_answers, write_answers
from thrive.operations import Progress
from thrive.release.watching import watched
from thrive.settings import read_settings
from thrive.store.home import object_endpoint
from thrive.store.pins import LOCK_FILE, read_lock
from thrive.store.place import FOLDER, find_project_folder
from thrive.store.snapshots.checkout import Target, check_out
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.sources import Found, Reach
from thrive.tracking.code import commit_of, record_code
from thrive.tracking.entry import find_file
from thrive.training.config import read_config

Arguments = Mapping[str, Any]


class Server(Protocol):
    """What these parts need of the server they work with."""

    @property
    def progress(self) -> Progress:
        """Who is told how far long work is."""
        ...

    def blobs(self, folder: Path) -> RemoteBlobs:
        """Return its blobs, with copies in `folder`."""
        ...

    def __call__(self, name: str, arguments: Arguments) -> Any:
        """Call one of its operations."""
        ...


def add_data(server: Server, arguments: Arguments) -> Any:
    """Hash the files of a source here, send what is missing, and have a version made of them."""
    folder = _project_folder()
    path, words = arguments["path"], {k: arguments[k] for k in ("name", "owner", "why")}
    wanted = wanted_in(folder, path, **words)
    with _scratch() as scratch:
        blobs = server.blobs(scratch / "blobs")
        reach = Reach(
            base=folder,
            temporary=scratch,
            endpoint=object_endpoint(),
            connections=read_settings().named_connections(),
        )
        delivery = deliver(wanted, reach, lambda found: _send(blobs, found))
        contract = folder / CONTRACT_FILE
        added = server(
            "data commit",
            {
                "name": wanted.name,
                "manifest": blobs.put(delivery.snapshot.listing()),
                "source": delivery.source,
                "asked": wanted.asked,
                "modified_at": delivery.modified_at,
                "mark": delivery.mark,
                "owner": wanted.owner,
                "why": wanted.why,
                "contract": blobs.put(contract.read_bytes()) if contract.is_file() else "",
            },
        )
        if not isinstance(added, AddedVersion):
            return added
        if contract.is_file():
            home = folder / FOLDER
            pin(folder, home if home.is_dir() else scratch, wanted.name, added.digest)
    return msgspec.structs.replace(added, skipped=delivery.links)


def _send(blobs: RemoteBlobs, found: Found) -> Snapshot:
    paths = [Path(found.locate(state[0])) for state in found.states]
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest_of, paths))
    blobs.send(dict(zip(digests, paths, strict=True)))
    return Snapshot.of_entries(
        FileEntry(path=state[0], digest=digest, size=state[1])
        for state, digest in zip(found.states, digests, strict=True)
    )


def _digest_of(path: Path) -> str:
    return blake3(max_threads=1).update_mmap(path).hexdigest()


def checkout(server: Server, arguments: Arguments) -> CheckedOut:
    """Bring the files of a version and write those that differ."""
    folder = _project_folder()
    name, number = split_name(arguments["name"])
    shown = server("data show", {"name": _numbered(server, folder, name, number)})
    target = Path.cwd() / arguments["to"]
    with _scratch() as scratch:
        blobs = server.blobs(scratch / "blobs")
        snapshot = read_snapshot(blobs, shown.manifest or shown.digest)

        def report(done: int, of: int, path: str) -> None:
            server.progress(done / of, f"writing {path}")

        changes = check_out(snapshot, blobs, Target(target), report)
    return CheckedOut(
        dataset=shown.dataset,
        version=shown.version,
        folder=str(target),
        files=len(snapshot),
        written=changes.written,
    )


def _numbered(server: Server, folder: Path, name: str, number: int | str | None) -> str:
    """Return NAME@VERSION: as given, else as the folder's `thrive.lock` pins it, else the name."""
    if number is not None:
        return f"{name}@{number}"
    pinned = read_lock(folder).get(name) if (folder / LOCK_FILE).is_file() else None
    if pinned is None:
        return name
    known = [line.version for line in server("data log", {"name": name}) if line.digest == pinned]
    if not known:
        raise NotFound(
            f"{LOCK_FILE} pins {name} to {pinned[:12]}, which the server does not have.",
            f"thrive data add --name {name}",
        )
    return f"{name}@{known[0]}"


def diff(server: Server, arguments: Arguments) -> Any:
    """Have two versions compared, and write the page here."""
    found = server("data diff", {**arguments, "html": None})
    page: Path = arguments["html"]
    write_page(found, Path.cwd() / page)
    return found


def card(server: Server, arguments: Arguments) -> Any:
    """Have a model card rendered, and write its files here."""
    made_there = server("models card", {**arguments, "to": None})
    subject = f"{made_there.model}@{made_there.version}"
    return _with_files(server, made_there, arguments["to"], subject)


def document(server: Server, arguments: Arguments) -> Any:
    """Have a document rendered, and write its files here."""
    made_there = server("documents render", {**arguments, "to": None})
    subject = f"{made_there.kind.value}-{made_there.subject}"
    return _with_files(server, made_there, arguments["to"], subject)


def _with_files(server: Server, made_there: Any, to: Path, subject: str) -> Any:
    """Write the forms that a server rendered into a folder here."""
    folder = Path.cwd() / to
    folder.mkdir(parents=True, exist_ok=True)
    with _scratch() as scratch:
        blobs = server.blobs(scratch / "blobs")
        for each in made_there.files:
            (folder / f"{subject}.{each.form}").write_bytes(blobs.get(each.digest))
    files = [
        msgspec.structs.replace(each, path=str(folder / f"{subject}.{each.form}"))
        for each in made_there.files
    ]
    return msgspec.structs.replace(made_there, files=files, text="")


def answer_duties(server: Server, arguments: Arguments) -> Any:
    """Write answers into governance.toml here, and have the server take the file in."""
    folder, model = _project_folder(), arguments["model"]
    if arguments["field"]:
        write_answers(folder, model, parse_given(arguments["field"]))
    said = read_answers(folder, model)
    return server(
        "duties commit",
        {
            "model": model,
            "fields": said.fields,
            "risks": msgspec.to_builtins(said.risks),
            "population": said.population,
            "commit": commit_of(folder),
        },
    )


def add_outcomes(server: Server, arguments: Arguments) -> Any:
    """Read outcomes from a source that is reached from here and send them."""
    model, within = arguments.get("model") or "", arguments.get("within") or ""
    with _scratch() as scratch:
        reach = Reach(
            base=Path.cwd(),
            temporary=scratch,
            endpoint=object_endpoint(),
            connections=read_settings().named_connections(),
        )
        told = read_told(str(arguments["file"]), reach, machine_now(), keyed=bool(model))
        batch = server.blobs(scratch / "blobs").put(msgspec.msgpack.encode(told))
    by_key = any(isinstance(each, ParkedOutcome) for each in told)
    keys_of = model if by_key else ""
    return server("outcomes commit", {"batch": batch, "model": keys_of, "within": within})


def run(server: Server, arguments: Arguments) -> Any:
    """Send the project's code and have a pipeline of it run there."""
    folder = _project_folder()
    target = arguments["target"]
    find_file(target, folder)
    config = read_config(arguments["config"], arguments["set_"] or [])
    with _scratch() as scratch:
        blobs = server.blobs(scratch / "blobs")
        code = record_code(folder, target, blobs, with_declared=True)
    return server(
        "runs start",
        {
            "target": target,
            "bundle": code.record.bundle,
            "params": arguments["params"],
            "experiment": arguments["experiment"],
            "values": config.values,
            "options": config.options,
            "no_cache": arguments["no_cache"],
            "verify_cache": arguments["verify_cache"],
            "commit": code.record.commit,
            "branch": code.record.branch,
            "dirty": code.record.dirty,
            "diff": code.record.diff,
            "untracked": code.untracked,
            "left_out": code.left_out,
            "lost": code.lost,
            "gates": arguments["gates"],
        },
    )


def check(server: Server, arguments: Arguments) -> Any:
    """Read the contract that is here, and have it held against what the server knows."""
    load(folder := _project_folder())
    text = (folder / CONTRACT_FILE).read_bytes()
    with _scratch() as scratch:
        digest = server.blobs(scratch / "blobs").put(text)
    return server("contracts check", {"contract": digest, "for_": arguments["for_"]})


def add_schedule(server: Server, arguments: Arguments) -> Any:
    """Send the project's code and have a pipeline of it run there by itself."""
    folder = _project_folder()
    find_file(arguments["target"], folder)
    with _scratch() as scratch:
        blobs = server.blobs(scratch / "blobs")
        code = record_code(folder, arguments["target"], blobs, with_declared=True).record
    said = {
        "bundle": code.bundle,
        "commit": code.commit,
        "branch": code.branch,
        "dirty": code.dirty,
        "diff": code.diff,
    }
    return server("schedules commit", {**arguments, **said})


def judge(server: Server, arguments: Arguments) -> Any:
    """Have a version judged, and write here what its verdict looks like to a CI."""
    files = {name: arguments[name] for name in ("json", "junit", "markdown", "metrics", "sarif")}
    wanted = msgspec.convert({"folder": Path.cwd(), **files}, Wanted)
    wanted.refuse_unwritable()
    found = server("gates run", {**arguments, **dict.fromkeys(files)})
    write_outputs(server("gates export", {"model": found.verdict_id}), wanted)
    return found


def verify_verdict(server: Server, arguments: Arguments) -> Any:
    """Prove a verdict here, whatever the server says of it."""
    wanted = arguments["verdict"]
    if is_id(wanted):
        held = server("gates export", {"model": wanted})
    else:
        held = read_gate_file(Path.cwd() / wanted)
    return verification(held.verdict, problems(held, trusted(arguments["key"])))


def comment_here(_server: Server, arguments: Arguments) -> Any:
    """Write a verdict that is here into a merge request: no server of ours is asked."""
    return comment_on(Path.cwd() / arguments["file"])


def export_chain(server: Server, arguments: Arguments) -> Any:
    """Write the audit chain of a server to a file here, page by page."""
    head, path = server("audit seals", {}), Path.cwd() / arguments["to"]
    write_export(path, head, _entries(server, head.seq))
    return exported(path, head)


def _entries(server: Server, last: int) -> Iterator[AuditEntry]:
    seq = 0
    while seq < last:
        asked = {"limit": min(1000, last - seq), "after": str(seq), "oldest": True}
        for entry in server("audit list", asked).items:
            yield entry
            seq = entry.seq


def verify_chain(_server: Server, arguments: Arguments) -> Any:
    """Verify an exported chain here: no server is asked."""
    return verify_file(Path.cwd() / arguments["file"])


def watch_release(server: Server, arguments: Arguments) -> Any:
    """Ask a server again and again what a release is at, until it has ended."""
    return watched(lambda: server("releases look", {"model": arguments["model"]}))


LOCAL_PARTS: Mapping[str, Callable[[Any, Arguments], Any]] = {
    "audit export": export_chain,
    "audit verify": verify_chain,
    "check": check,
    "data add": add_data,
    "data checkout": checkout,
    "data diff": diff,
    "documents render": document,
    "duties answer": answer_duties,
    "gates comment": comment_here,
    "gates run": judge,
    "gates verify": verify_verdict,
    "models card": card,
    "outcomes add": add_outcomes,
    "releases watch": watch_release,
    "run": run,
    "schedules add": add_schedule,
    "serve": serve_remote,
}
"""By operation: what is done here when its call names local files and a server."""


@contextmanager
def _scratch() -> Generator[Path]:
    with TemporaryDirectory(prefix="thrive-") as folder:
        yield Path(folder)


def _project_folder() -> Path:
    """Return the nearest project's folder; without one, where the caller is."""
    try:
        return find_project_folder(Path.cwd())
    except NotFound:
        return Path.cwd()
