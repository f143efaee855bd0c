# Everything here works on a machine with nothing but Python 3.11 or newer and make.
# The first call creates .venv and fills it with the versions of constraints.txt.

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
DOCS_VENV := .venv-docs
AUDIT_VENV := .venv-audit

# The first Python that both starts and is new enough; `make PYTHON3=...` overrules the choice.
PYTHON3 ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
    $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && echo $$python && break; done)

# Real data for the case studies, where it lies beside the checkout; empty means: look elsewhere.
# Absolute, as notebooks and some tests run in folders of their own.
export AFINA_DATA ?= $(abspath $(wildcard ../shared/data))
export KERAS_BACKEND ?= jax

# The build tools are pinned too: older pips read the first name for builds, newer ones the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo demos test test-services check audit format docs bench speed quality clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## Tune the Reuters network and show what came of it (a few minutes)
	$(PYTHON) -m afina demo reuters --output demo-output/reuters --overwrite

demos: demo ## Both case studies: Reuters and Fashion-MNIST
	$(PYTHON) -m afina demo fashion-mnist --output demo-output/fashion-mnist --overwrite

test: $(READY) ## Run the tests that need nothing else
	$(PYTHON) -m pytest -q -n auto --dist worksteal -m "not service"

test-services: $(READY) ## Run the others: a browser, real kills, TensorFlow, PyTorch, Keras to come
	$(PYTHON) -m pytest -q -n auto --dist worksteal -m service tests
	$(PYTHON) tests/services/run.py $(SERVICES)

check: $(READY) ## Check format, lint and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

audit: $(AUDIT_VENV)/.ready ## Look the pinned packages up in the list of known vulnerabilities (needs the network)
	@report=$(AUDIT_VENV)/report; \
	if $(AUDIT_VENV)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off >$$report 2>&1; then \
	  echo "No pinned package has a known vulnerability."; \
	elif grep -q "^Found [0-9]* known vulnerab" $$report; then \
	  cat $$report >&2; exit 1; \
	else \
	  echo "Nothing was audited: the list of known vulnerabilities could not be read (details: $$report)." >&2; exit 1; fi

format: $(READY) ## Put the code into its format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

docs: $(DOCS_VENV)/.ready ## Build the documentation site, both languages, into site/
	$(DOCS_VENV)/bin/python website/build.py

bench: $(READY) ## Measure: each script of benchmarks/ prints its figures
	@set -e; for file in $(filter-out benchmarks/speed/% benchmarks/search_quality/% benchmarks/prior/% benchmarks/stalls/% benchmarks/time_to_target/%,$(wildcard benchmarks/*.py benchmarks/*/*.py)); do \
	  echo "== $$file"; $(PYTHON) $$file; done

speed: $(READY) ## Measure against stock Keras Tuner (hours; SPEED=--short: minutes)
	$(PYTHON) benchmarks/speed/run.py $(SPEED)

quality: $(READY) ## Measure search quality against other packages (hours; QUALITY=--short: a minute)
	$(PYTHON) benchmarks/search_quality/run.py $(QUALITY)

clean: ## Remove the environment and everything that was made
	rm -rf $(VENV) $(DOCS_VENV) $(AUDIT_VENV) site .services benchmarks/speed/.bench benchmarks/search_quality/.bench demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON3)" ]; then \
	  echo "Afina needs Python 3.11 or newer with venv: none of python3.11 .. python3.14, python3 is." >&2; \
	  echo "Install one, or name it: make PYTHON3=/path/to/python" >&2; exit 1; fi
	@if [ ! -x $(PYTHON) ]; then echo "Creating $(VENV) with $(PYTHON3)"; $(PYTHON3) -m venv $(VENV); fi
	@echo "Installing the pinned dependencies (once; a minute or two)"
	$(PYTHON) -m pip install --quiet --editable '.[dev]'
	@touch $@

$(DOCS_VENV)/.ready: website/requirements.txt constraints.txt
	@if [ ! -x $(DOCS_VENV)/bin/python ]; then $(PYTHON3) -m venv $(DOCS_VENV); fi
	@echo "Installing what builds the site (once; half a minute)"
	$(DOCS_VENV)/bin/python -m pip install --quiet --requirement website/requirements.txt
	@touch $@

$(AUDIT_VENV)/.ready:
	@if [ ! -x $(AUDIT_VENV)/bin/python ]; then $(PYTHON3) -m venv $(AUDIT_VENV); fi
	@echo "Installing pip-audit (once; half a minute)"
	@PIP_CONSTRAINT= $(AUDIT_VENV)/bin/python -m pip install --quiet pip-audit
	@touch $@
