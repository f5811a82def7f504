"""The pages hold together: links resolve, commands can be typed, the index reaches every page."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from thrive.cli.completion import GLOBAL_OPTIONS
from thrive.cli.parse import parse
from thrive.cli.table import COMMANDS
from thrive.cli.words import nouns, read_line
from thrive.contract.parse import parse as parse_contract
from thrive.domain.errors import UsageError
from thrive.flows.catalogue import load_all

ROOT = Path(__file__).parents[3]
INDEX = ROOT / "docs/README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(thrive [^`]+)`")
SHELL = {"&", "|", ">", "2>&1", "&&", ";"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return BLOCK.sub("", page.read_text())


def linked(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link that stays in this repository."""
    for target in LINK.findall(prose(page)):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, spelled as GitHub spells them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def typed(page: Path) -> list[list[str]]:
    """Return the words of every `thrive` command line in the shell blocks of a page."""
    found = []
    for language, text in BLOCK.findall(page.read_text()):
        if language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                lexed = shlex.shlex(line, posix=True, punctuation_chars="&|;>")
                lexed.whitespace_split = True
                found += _commands(list(lexed))
    return found


def _commands(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word in SHELL or word.startswith(">"):
            if command[:1] == ["thrive"]:
                yield command
            command = []
        else:
            command.append(word)


def parsed(words: list[str]) -> str:
    """Read a command line as the program does; return the operation's name."""
    kept = list(words[1:])
    if "--home" in kept:
        at = kept.index("--home")
        if not kept[at + 1].startswith("http"):
            del kept[at : at + 2]  # a folder that is not on this machine
    line = read_line(kept)
    if not line.help:
        parse(load_all()[line.command], line.rest)
    return line.command


@every_page
def test_every_link_resolves(page):
    for path, anchor in linked(page):
        assert path.exists(), f"{page.name}: no {path}"
        assert not anchor or anchor in anchors(path), f"{page.name}: no #{anchor} in {path.name}"


def test_every_page_is_reached_from_the_index():
    reached, waiting = {INDEX}, [INDEX]
    while waiting:
        page = waiting.pop()
        found = {path for path, _ in linked(page) if path.suffix == ".md"} - reached
        reached |= found
        waiting += [path for path in found if path.exists()]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached


@every_page
def test_every_command_line_can_be_typed(page):
    for words in typed(page):
        assert parsed(words) in COMMANDS


@every_page
def test_every_command_that_is_named_exists(page):
    for text in INLINE.findall(prose(page)):
        words = text.split()[1:]
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        known = {*COMMANDS, *nouns()}
        assert name in known or name.isupper() or name.startswith("--"), f"{page.name}: {text}"
        if name in COMMANDS and name != "run":
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= {*COMMANDS[name].options, *GLOBAL_OPTIONS}, f"{page.name}: {text}"


@every_page
def test_every_contract_that_is_shown_is_one(page):
    for language, text in BLOCK.findall(page.read_text()):
        if language == "toml":
            head = "" if "contract = 1" in text else "contract = 1\n"
            assert parse_contract(head + text).contract


def test_the_pages_show_commands_at_all():
    shown = {parsed(words) for page in PAGES for words in typed(page)}
    assert {"init", "run", "serve", "status", "ui", "data add", "gates run"} <= shown


@pytest.mark.parametrize(
    "wrong", ["thrive rnu x.py", "thrive gates run a --agianst b", "thrive data show"]
)
def test_a_command_that_cannot_be_typed_is_found(wrong, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```sh\n{wrong} > out.txt\n```\n")
    [words] = typed(page)
    with pytest.raises(UsageError):
        parsed(words)
