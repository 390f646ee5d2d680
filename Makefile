# `make demo` and `make test` need Python 3.11 to 3.13, make and a package index, nothing else.
#
#   make demo    install and run the support agent against embedded servers
#   make test    install, lint, check types and layers, run every test
#   make lint    only the checks that start nothing
#   make bench   compare with a plain Celery chain on this machine
#   make sbom    list what is installed, as CycloneDX, in build/sbom.json
#   make audit   ask the advisories of the package index about the pinned versions
#   make docs    build the documentation as a site, in build/site
#   make clean   remove what these commands made
#
# Another interpreter: make PYTHON=python3.12 test. Options of pytest: make test PYTEST="-k replay".

PYTHON ?= python3
VENV ?= .venv
# Most tests of faults wait: more of them at a time than there are cores.
WORKERS ?= 4
DEMO ?=
BENCH ?=
PYTEST ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# The one warning of an editable install says nothing that a user could act on.
INSTALL := PYTHONWARNINGS=ignore $(PIP) install --quiet --constraint constraints.txt
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; \
	  exit 1; }

# The build tool comes first, so that the project is built with the pinned one.
$(VENV)/.installed-build: constraints.txt | $(BIN)/python
	@echo "installing into $(VENV)"
	@$(INSTALL) pip setuptools
	@touch $@

$(VENV)/.installed-demo: pyproject.toml $(VENV)/.installed-build
	@$(INSTALL) --no-build-isolation --editable '.[demo,flower]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed-build
	@$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@ $(VENV)/.installed-demo

.PHONY: install
install: $(VENV)/.installed-dev

.PHONY: demo
demo: $(VENV)/.installed-demo
	@$(BIN)/saga demo $(DEMO)

.PHONY: lint
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

.PHONY: test
test: lint
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST)

.PHONY: bench
bench: $(VENV)/.installed-demo
	$(BIN)/python -m bench $(BENCH)

# Of their own, so that what they list is ours.
AUDIT := build/audit
$(AUDIT)/.installed: Makefile
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
	  cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@touch $@

.PHONY: sbom
sbom: $(VENV)/.installed-dev $(AUDIT)/.installed
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json $(BIN)/python

# Strict: a version of which the index says nothing is a failure, not a pass.
.PHONY: audit
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

.PHONY: docs
docs: $(VENV)/.installed-dev
	$(BIN)/zensical build --strict --clean

.PHONY: clean
clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
