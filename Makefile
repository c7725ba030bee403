PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
TESTS := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
SQUAWK := $(BIN)/squawk --pg-version 15.0 --assume-in-transaction --no-error-on-unmatched-pattern
.DEFAULT_GOAL := help
.PHONY: help run example test test-slow check lint fmt deploy-check manifests bench lock clean

# A stamp made in another folder, or for a Python that is gone, is none.
$(shell test -x $(BIN)/python && test "$$(cat $(READY) 2>&1)" = '$(CURDIR)' || rm -f $(READY))

# Without a stamp the environment may be half made: it is begun anew.
$(READY): requirements-dev.txt pyproject.toml verifier/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Watchword needs Python 3.11 or newer. If you have one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	@echo 'making the environment (about a minute, once)'
	@{ test -f $@ || $(PYTHON) -m venv --clear .venv; } && rm -f $@
	@$(PIP) --require-hashes -r requirements-dev.txt
	@PYTHONWARNINGS=ignore $(PIP) --no-index --no-deps --no-build-isolation -e . -e ./verifier
	@echo '$(CURDIR)' > $@

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
run: $(READY) ## Everything on this machine, one command; PORT=8001 for another port
	@$(BIN)/watchword dev --port $(PORT)
example: $(READY) ## Two services that verify for themselves, and a token taken back from both
	@$(BIN)/python -m examples.services
test: $(READY) ## The tests but the slow ones
	@$(TESTS)
test-slow: $(READY) ## The slow tests; as root on Debian installs the servers that they need
	@tests/install-servers.sh
	@$(TESTS) --numprocesses 3 -m 'slow and not timed' && $(TESTS) --numprocesses 2 -m timed
check: lint ## Format, lint, types, import directions, migrations, known vulnerabilities
	$(BIN)/basedpyright --level error
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(SQUAWK) -e require-timeout-settings 'migrations/*.expand.sql'
	$(SQUAWK) -e require-timeout-settings,ban-drop-column,ban-drop-table,renaming-column,renaming-table \
	  'migrations/*.contract.sql'
	tests/audit-dependencies.sh
lint: $(READY) ## Format and lint: what the commit hook asks
	$(BIN)/ruff format --check
	$(BIN)/ruff check
fmt: $(READY) ## Format, and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
deploy-check: $(READY) ## Image, chart, manifests and alert rules: lint, schemas, policy
	@deploy/check/check.sh
manifests: $(READY) ## The plain manifests, rendered from the chart again
	@deploy/manifests/render.sh
bench: $(READY) ## Measure: every figure as a ratio
	@$(BIN)/python -m bench
lock: ## Lock the dependencies again; UPGRADE=-U for the newest versions
	@PYTHON=$(PYTHON) tests/lock-dependencies.sh $(UPGRADE)
clean: ## Remove the environment and all caches; the data under .watchword stays
	@rm -rf .venv build dist *.egg-info .coverage* htmlcov .hypothesis .*_cache $$(find * -name __pycache__ -type d)
