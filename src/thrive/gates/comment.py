"""One comment on a merge request, written over by each run: whoever wants it asks for it.

Where it stands is told by the variables that GitHub and GitLab set for a job; only a token is to
be given. A comment is found again by its first line, and only among those of the token's owner:
nobody else's words are written over, and nobody can make a place for ours.
"""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from thrive.domain.errors import Refused, StoreUnavailable, UsageError

TIMEOUT_S = 30.0
PAGE, MOST_PAGES = 100, 50
"""Comments of a page, and pages that are looked through."""
ACTIONS = "github-actions[bot]"
"""Who writes with the token of a job of GitHub Actions, which may not ask who it is."""
_PULL = re.compile(r"refs/pull/([0-9]+)/")


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a verdict was written.

    Attributes:
        host: `github` or `gitlab`.
        comment: its number there.
        address: where to read it, "" if the host does not say.
        answer: of the verdict.
        again: whether it was written over an earlier one.
    """

    host: str
    comment: int
    address: str
    answer: str
    again: bool

    @property
    def exit_code(self) -> int:
        """What the command line exits with: writing succeeds, whatever the answer was."""
        return 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A merge request of a host, and how it is spoken to.

    Attributes:
        host: `github` or `gitlab`.
        base: the address of its interface.
        comments: path of the merge request's comments.
        one: path of a single comment, but for its number.
        change: the method that changes one.
        owner, name: where a comment names who wrote it.
        headers: with the token.
        fallback: who writes, where the token may not ask.
    """

    host: str
    base: str
    comments: str
    one: str
    change: str
    owner: str
    name: str
    headers: dict[str, str]
    fallback: str = ""


def place_in(environment: Mapping[str, str] = os.environ) -> Place:
    """Return the merge request whose job this is, as its variables say.

    Raises:
        UsageError: this is no job of a merge request, or there is no token.
    """
    if environment.get("GITLAB_CI"):
        return _gitlab(environment)
    if environment.get("GITHUB_ACTIONS"):
        return _github(environment)
    raise UsageError(
        "This is no job of GitHub Actions or GitLab: there is nothing to comment on.",
        "thrive gates run --markdown FILE writes the same table into a file",
    )


def _github(environment: Mapping[str, str]) -> Place:
    token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN")
    if not token:
        raise UsageError("There is no token to comment with.", "set GITHUB_TOKEN for this step")
    found = _PULL.match(environment.get("GITHUB_REF", ""))
    if found is None:
        raise UsageError(
            "This job is not of a pull request: there is nothing to comment on.",
            "run it on: [pull_request]",
        )
    issues = f"/repos/{environment.get('GITHUB_REPOSITORY', '')}/issues"
    return Place(
        host="github",
        base=_base(environment.get("GITHUB_API_URL") or "https://api.github.com"),
        comments=f"{issues}/{found[1]}/comments",
        one=f"{issues}/comments",
        change="PATCH",
        owner="user",
        name="login",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
        fallback=ACTIONS,
    )


def _gitlab(environment: Mapping[str, str]) -> Place:
    token = environment.get("GITLAB_TOKEN")
    if not token:
        raise UsageError(
            "There is no token to comment with.",
            "set GITLAB_TOKEN, a project access token with the scope api",
        )
    number, base = (environment.get(name) for name in ("CI_MERGE_REQUEST_IID", "CI_API_V4_URL"))
    if not number or not base:
        raise UsageError(
            "This job is not of a merge request: there is nothing to comment on.",
            'run it if: $CI_PIPELINE_SOURCE == "merge_request_event"',
        )
    notes = f"/projects/{environment.get('CI_PROJECT_ID', '')}/merge_requests/{number}/notes"
    return Place(
        host="gitlab",
        base=_base(base),
        comments=notes,
        one=notes,
        change="PUT",
        owner="author",
        name="username",
        headers={"PRIVATE-TOKEN": token},
    )


def _base(address: str) -> str:
    """Return an address that a token may be sent to: by TLS, or on this machine."""
    if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", address):
        raise UsageError(f"{address!r} is not https: no token is sent there.", "give https://HOST")
    return address.rstrip("/")


def write_comment(place: Place, text: str, answer: str) -> Comment:
    """Write a text over the comment that has the same first line, or as a new one.

    Args:
        place: the merge request.
        text: Markdown; its first line names it.
        answer: of the verdict, to be told.

    Raises:
        Refused: the token may not.
        StoreUnavailable: the host cannot be reached, or has failed.
    """
    first, me = text.partition("\n")[0], _me(place)
    mine = (
        each
        for each in _comments(place)
        if each[place.owner][place.name] == me and str(each["body"]).partition("\n")[0] == first
    )
    known = next(mine, None)
    if known is None:
        made = _ask(place, "POST", place.comments, {"body": text})
    else:
        made = _ask(place, place.change, f"{place.one}/{known['id']}", {"body": text})
    return Comment(
        host=place.host,
        comment=made["id"],
        address=str(made.get("html_url", "")),
        answer=answer,
        again=known is not None,
    )


def _me(place: Place) -> str:
    try:
        return str(_ask(place, "GET", "/user")[place.name])
    except Refused:
        if not place.fallback:
            raise
        return place.fallback


def _comments(place: Place) -> Iterator[dict[str, Any]]:
    for page in range(1, MOST_PAGES + 1):
        found = _ask(place, "GET", f"{place.comments}?per_page={PAGE}&page={page}")
        yield from found
        if len(found) < PAGE:
            return


def _opener() -> urllib.request.OpenerDirector:
    """Return what follows no redirect: a token goes where it was meant for."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _ask(place: Place, method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """Return the JSON that the host answers."""
    request = urllib.request.Request(  # noqa: S310 - https, or this machine: see `_base`
        place.base + path,
        None if body is None else json.dumps(body).encode(),
        {"User-Agent": "thrive", "Content-Type": "application/json", **place.headers},
        method=method,
    )
    try:
        with _opener().open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise _told(place, method, error.code) from None
    except (OSError, ValueError) as error:
        raise StoreUnavailable(f"{place.host} gave no answer: {error}.", "try again") from None


def _told(place: Place, method: str, status: int) -> Refused | StoreUnavailable:
    if status >= 500 or status == 429:
        return StoreUnavailable(f"{place.host} answered {status}.", "try again")
    right = {
        "github": "give the job `pull-requests: write`; pull requests from forks have no right",
        "gitlab": "give GITLAB_TOKEN the scope api, and its owner the role Reporter",
    }[place.host]
    return Refused(f"{place.host} does not let this token {method} comments ({status}).", right)
