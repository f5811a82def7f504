"""Ready files for a team's CI: GitHub Actions and GitLab, offline and without a token."""

import re
from pathlib import Path

from thrive.contract.parse import load
from thrive.domain.errors import Conflict

GITHUB = Path(".github/workflows/thrive.yml")
GITLAB = Path(".gitlab-ci.yml")

_GITHUB_TEXT = """\
# Trains and judges on every pull request. Exit codes: 0 pass, 1 fail, 3 cannot tell, 4 try again.
name: thrive
on: [pull_request]
permissions:
  contents: read
jobs:
  gate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
      - run: pip install "thrive[sklearn]"
      # Bring the data to where thrive.toml says it is, if it is not in git.
      - run: thrive init
      - run: thrive check --for train
      - run: thrive data add
      - run: thrive run train.py
      - run: >-
          thrive gates run --json gate.json --junit gate.xml --sarif gate.sarif
          --markdown "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: gate
          path: |
            gate.json
            gate.xml
            gate.sarif

  comment:
    # Writes the table into the pull request, over what it wrote before. To have it, set the
    # repository's variable THRIVE_COMMENT to true. Pull requests from forks have no right to write:
    # their summary says the same.
    if: >-
      always() && vars.THRIVE_COMMENT == 'true'
      && github.event.pull_request.head.repo.full_name == github.repository
    needs: gate
    runs-on: ubuntu-latest
    permissions:
      pull-requests: write
    steps:
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - uses: actions/download-artifact@v4
        with:
          name: gate
      - run: pip install thrive
      - run: thrive gates comment gate.json
        env:
          GITHUB_TOKEN: ${{ github.token }}
"""

_GITLAB_TEXT = """\
# Trains and judges on every merge request. Exit codes: 0 pass, 1 fail, 3 cannot tell, 4 try again.
stages: [gate, deploy]

gate:
  stage: gate
  image: python:3.12-slim
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  script:
    - pip install "thrive[sklearn]"
    # Bring the data to where thrive.toml says it is, if it is not in git.
    - thrive init
    - thrive check --for train
    - thrive data add
    - thrive run train.py
    - thrive gates run --json gate.json --junit gate.xml --metrics gate.txt --markdown gate.md
  retry:
    max: 1
    exit_codes: [4]
  artifacts:
    when: always
    paths: [gate.json, gate.md]
    reports:
      junit: gate.xml
      metrics: gate.txt

comment:
  # Writes the table into the merge request, over what it wrote before. To have it, give the project
  # a masked variable GITLAB_TOKEN: a project access token with the scope api.
  stage: .post
  image: python:3.12-slim
  needs: [gate]
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event" && $GITLAB_TOKEN
      when: always
  allow_failure: true
  script:
    - pip install thrive
    - thrive gates comment gate.json

deploy:
  stage: deploy
  image: python:3.12-slim
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
      when: manual
  script:
    - pip install thrive
    # Verdicts are signed by THRIVE_SIGNING_KEY (a masked variable, of `openssl rand -hex 32`), or
    # by a key made for the job. THRIVE_GATE_KEYS names the keys to trust; without it any is.
    - thrive gates verify gate.json
"""

FILES = {GITHUB: _GITHUB_TEXT, GITLAB: _GITLAB_TEXT}


def write_ci_files(folder: Path) -> list[str]:
    """Write the files that are not there yet and return their paths; none is written over.

    Of several datasets each is added; of several models the first is judged.

    Raises:
        Conflict: all of them are there already.
        ContractError: the folder's contract cannot be read.
    """
    contract = load(folder).contract
    written: list[str] = []
    for path, plain in FILES.items():
        text = _for_each(plain, list(contract.data), list(contract.model))
        target = folder / path
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(path.as_posix())
    if not written:
        raise Conflict("The files for CI are there already.", "edit them, or remove one first")
    return written


def _for_each(text: str, data: list[str], models: list[str]) -> str:
    """Return the text with a line for each dataset, and the name of a model, where several are."""
    if len(data) > 1:
        lines = "\n".join(rf"\1thrive data add --name {name}" for name in data)
        text = re.sub(r"^( *- (?:run: )?)thrive data add$", lines, text, flags=re.MULTILINE)
    if len(models) > 1:
        note = f"# One of {len(models)} models; write such a step, with files of its own, for each."
        text = re.sub(
            r"^( *)(- (?:run: >-\n *)?thrive gates run)",
            rf"\1{note}\n\1\2 {models[0]}",
            text,
            flags=re.MULTILINE,
        )
    return text
