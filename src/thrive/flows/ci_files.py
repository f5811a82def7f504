"""Ready files for a team's CI: GitHub Actions and GitLab, offline and without a token."""

from pathlib import Path

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
      # A comment that each run writes over needs `pull-requests: write`, which pull requests from
      # forks do not have; the summary above needs nothing. To have it: thrive gates run also takes
      # --markdown gate.md, and then
      # - run: gh pr comment "$NUMBER" --edit-last --create-if-none --body-file gate.md
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

deploy:
  stage: deploy
  image: python:3.12-slim
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
      when: manual
  script:
    - pip install thrive
    # Name the key that your CI signs with in THRIVE_GATE_KEYS; without it any key is accepted.
    - thrive gates verify gate.json
"""

FILES = {GITHUB: _GITHUB_TEXT, GITLAB: _GITLAB_TEXT}


def write_ci_files(folder: Path) -> list[str]:
    """Write the files that are not there yet and return their paths; none is written over.

    Raises:
        Conflict: all of them are there already.
    """
    written: list[str] = []
    for path, text in FILES.items():
        target = folder / path
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(path.as_posix())
    if not written:
        raise Conflict("The files for CI are there already.", "edit them, or remove one first")
    return written
