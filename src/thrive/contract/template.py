"""The contract a project starts with: six answers, everything else by default."""

import re
from pathlib import PurePosixPath

from thrive.contract.lines import path_of
from thrive.contract.schema import CONTRACT_FORMAT, Risk
from thrive.contract.spelling import toml_value
from thrive.domain.identifiers import checked_name

_TEMPLATE = """\
contract = {format}  # `thrive check` lists what production still asks for

[project]
name = {name}

[{data}]
source = {source}

[{model}]
purpose = {purpose}
owner = {owner}
target = {{ column = {target} }}
risk = {risk}  # high | limited | minimal
"""


def new_contract(
    name: str,
    source: str,
    *,
    owner: str,
    purpose: str,
    target: str,
    risk: Risk = Risk.UNDECIDED,
) -> str:
    """Return the text of a new project's `thrive.toml`.

    Args:
        name: the name of the project and of its first model.
        source: where the data is: a path, a URL, a table or a query.
        owner: the team that answers for the model.
        purpose: what the model is for; may be empty.
        target: the column to predict.
        risk: the risk class of the use.

    Raises:
        UsageError: `name` cannot name a project.
    """
    checked_name(name, "project")
    return _TEMPLATE.format(
        format=CONTRACT_FORMAT,
        name=toml_value(name),
        data=path_of("data", dataset_name(source, name)),
        source=toml_value(source),
        model=path_of("model", name),
        purpose=toml_value(purpose),
        owner=toml_value(owner),
        target=toml_value(target),
        risk=toml_value(risk.value),
    )


def dataset_name(source: str, otherwise: str) -> str:
    """Return a name for the data at `source`: its file, or the folder of a pattern.

    >>> dataset_name("data/flights/*.parquet", "demo")
    'flights'
    >>> dataset_name("SELECT * FROM rides", "demo")
    'demo'
    """
    if re.search(r"\s", source.strip()):
        return otherwise
    parts = PurePosixPath(source.split("?", maxsplit=1)[0]).parts
    for part in reversed(parts):
        stem = re.sub(r"[^a-z0-9_-]+", "-", part.split(".")[0].lower()).strip("-_")
        if "*" in part or part.endswith(":"):
            continue
        return stem[:64].strip("-_") or otherwise
    return otherwise
