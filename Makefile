# Everything a person or a build server runs. `make` alone says what there is.
#
# Python is the newest of python3.13 … python3.11 that is installed, or what PYTHON= names.

PYTHON_MIN := (3, 11)
VENV       := .venv
JUDGES     := .venv-judges
AGENTFIELD := .venv-agentfield
BIN        := $(VENV)/bin
BUILT      := $(VENV)/.installed-demo
BUILT_DEV  := $(VENV)/.installed-dev
BUILT_DOCS := $(VENV)/.installed-docs
INSTALL     = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on

.DEFAULT_GOAL := help
.PHONY: help setup demo test check check-pyright check-mypy check-ruff check-imports coverage bench judges schemathesis torture docs clean chromium coturn agentfield

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(BUILT_DEV)  ## Create .venv and install everything a developer needs

demo: $(BUILT)  ## Take a voice call from your browser: no key, no account, no network
	@$(BIN)/af demo $(DEMO)

# Two cores are busy with three workers: a third of what tests do is to wait for browsers and servers.
test:  ## Run the checks and every test
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS) chromium coturn agentfield
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(TESTS)

check:  ## Format, lint, types and import contracts
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS)

# Each keeps one core busy; the longest are first.
CHECKS = check-pyright check-mypy check-ruff check-imports

check-pyright: $(BUILT_DEV)
	$(BIN)/basedpyright

check-mypy: $(BUILT_DEV)
	$(BIN)/mypy

check-ruff: $(BUILT_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-imports: $(BUILT_DEV)
	$(BIN)/lint-imports

# What the tests of the session core and of the controller reach by design, not by chance: none that searches.
COVERED := core controller approvals completion deliveries rules recovery/test_left_behind.py recovery/test_recovery.py test_run.py

coverage: $(BUILT_DEV)  ## Fail unless every branch of the session core, controller and recovery is tested
	$(BIN)/coverage run -m pytest -q -k "not machine and not planted and not load" $(COVERED:%=tests/%)
	$(BIN)/coverage report

# The vendor's client for browsers, from npm.
PAGE_SDK := 0.20.0

# The SDK wants an older `websockets`, so this also runs the adapters at the other end of what they take.
judges: $(VENV)/pyvenv.cfg chromium  ## Let the vendor's agents SDKs judge, in an environment of their own
	@test -x $(JUDGES)/bin/python || $(BIN)/python -m venv $(JUDGES)
	$(JUDGES)/bin/python -m pip install --disable-pip-version-check --quiet -e '.[dev,judges]'
	@if command -v npm >/dev/null; then \
	  cd $(JUDGES) && npm pack --silent @openai/agents-realtime@$(PAGE_SDK) | xargs tar xzf; \
	else \
	  echo "No npm: the vendor's browser client is not asked. On Debian: sudo apt-get install npm" >&2; \
	fi
	$(JUDGES)/bin/python -m pytest tests/local_provider/test_agents_sdk.py tests/local_provider/test_vendor_client.py \
	  tests/adapters tests/e2e/test_vendor_page.py

# The published SDK of AgentField, 370 MB with what it needs: `tests/agentfield` runs its agents, unmodified.
AGENTFIELD_SDK   := 0.1.144
BUILT_AGENTFIELD := $(AGENTFIELD)/.installed-$(AGENTFIELD_SDK)

agentfield: $(BUILT_AGENTFIELD)

# Only a package index that cannot be reached is no failure: the tests say then that they are skipped.
$(BUILT_AGENTFIELD): $(VENV)/pyvenv.cfg
	@test -x $(AGENTFIELD)/bin/python || $(BIN)/python -m venv $(AGENTFIELD)
	@set -e; pip="$(AGENTFIELD)/bin/python -m pip --disable-pip-version-check --quiet"; \
	if $$pip download --no-deps --dest $(AGENTFIELD)/sdk agentfield==$(AGENTFIELD_SDK); then \
	  echo "Installing agentfield $(AGENTFIELD_SDK) in $(AGENTFIELD) (once, 370 MB)"; \
	  $$pip install --find-links $(AGENTFIELD)/sdk agentfield==$(AGENTFIELD_SDK); touch $@; \
	else \
	  echo "No package index: tests/agentfield is skipped" >&2; \
	fi

schemathesis: $(BUILT_DEV)  ## Judge the OpenAPI document against a server: all checks, a hundred cases per operation
	$(BIN)/python -m tests.plane.openapi_judge --examples $(or $(EXAMPLES),100)

bench: $(BUILT_DEV)  ## Measure reply time, barge-in, the frame path and CPU per call (BENCH=name: one)
	@set -e; for bench in $$(grep -l __main__ benchmarks/$(or $(BENCH),*).py); do \
	  echo "== $$bench"; $(BIN)/python $$bench; \
	done

torture: $(BUILT_DEV)  ## Hours of worlds, state machines, kill -9, crash states, flipped bits (TORTURE="--only worlds": less)
	$(BIN)/python -m tests.torture $(TORTURE)

docs: $(BUILT_DOCS)  ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -n -W --keep-going docs docs/_build

clean:  ## Remove what the other targets made
	rm -rf $(VENV) $(JUDGES) $(AGENTFIELD) docs/_build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A candidate must run, not just be there: version managers leave names behind that do nothing.
$(VENV)/pyvenv.cfg:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	  version=$$("$$python" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue; \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < $(PYTHON_MIN))'; then \
	    echo "Creating $(VENV) with $$python ($$version)"; \
	    "$$python" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); echo "$$python cannot create it; on Debian: apt-get install python3-venv" >&2; exit 2; \
	  fi; \
	  found="$$found $$python is $$version,"; \
	done; \
	echo "agentfield-rt needs Python 3.11 or newer;$${found:- none was found,} install one" \
	  "or name it: make PYTHON=/path/to/python3.12" >&2; exit 2

$(BUILT): $(VENV)/pyvenv.cfg pyproject.toml
	$(INSTALL) -e '.[demo]'
	@touch $@

$(BUILT_DEV): $(VENV)/pyvenv.cfg pyproject.toml
	$(INSTALL) -e '.[dev]'
	@touch $@ $(BUILT)

$(BUILT_DOCS): $(BUILT_DEV)
	$(INSTALL) -e '.[docs]'
	@touch $@

# The tests call the web page with a real browser.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing chromium for the tests of the web page"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else \
	  echo "The tests of the web page need a browser. On Debian: sudo apt-get install chromium;" \
	    "elsewhere put chromium or google-chrome on the PATH" >&2; exit 2; \
	fi

# The test of calls through a TURN server is skipped without one, and says so. One program is installed at a time.
coturn: | chromium
	@command -v turnserver >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing coturn for the test of calls through a TURN server"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends coturn; \
	fi
