# The commands of this repository; `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STUDY := imdb-lstm-sentiment
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PORT ?= 5000
JOBS ?= 3
ROUNDS ?= 20

.PHONY: help setup setup-dev tune ui docs test test-fast test-all chaos bench lint audit clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.run ## Make .venv with what running needs, and the command tuning

setup-dev: $(VENV)/.dev ## Make .venv with what developing needs too

tune: setup ## The main job; ARGS="-P trials=20 -P dataset=synthetic"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mlflow run . -e tune --env-manager local \
		--experiment-name $(STUDY) $(ARGS)

ui: setup ## Open MLflow on the local store; PORT=5000
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tuning ui --port $(PORT)

docs: setup-dev ## Build the site into .cache/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "The site begins at .cache/site/index.html"

test: setup-dev ## Run the tests, ten minutes on two cores; ARGS="-k resume"
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

test-fast: setup-dev ## Run the unit tests, a minute
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not browser and not full" $(ARGS)

test-all: setup-dev ## Run everything, and measure the coverage
	rm -rf .cache/coverage
	$(BIN)/python -m pytest -n $(JOBS) -m "" --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under 90

chaos: setup-dev ## Kill studies at random instants and count what is lost; ROUNDS=300
	$(BIN)/python -m tests.e2e.chaos --rounds $(ROUNDS) --jobs $(JOBS) $(ARGS)

bench: setup-dev ## Measure, and write the tables of docs/background/benchmarks.md; ARGS="startup scale"
	$(BIN)/python -m benchmarks.tables $(ARGS)

lint: setup-dev ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Not a dependency: nothing of the project needs it, and it needs the advisory database.
audit: ## Compare the pinned packages with the known vulnerabilities
	$(PYTHON) -m venv --clear .cache/audit
	.cache/audit/bin/pip install --quiet "pip-audit==2.9.0"
	.cache/audit/bin/pip-audit --disable-pip --require-hashes -r requirements.txt

clean: ## Remove .venv and caches; MLflow's store stays
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache

# uv where it is present, pip otherwise; both install what the hashes name, and nothing else, and
# then this checkout itself, for the command `tuning`. On a terminal they show their progress.
define install
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@quiet=$$(test -t 1 || echo --quiet); \
	if command -v uv >/dev/null; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
		installer="uv pip install --python $(BIN)/python"; \
	else \
		test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV); \
		installer="$(BIN)/pip install"; \
	fi; \
	$$installer $$quiet --require-hashes -r $(1); \
	$$installer --quiet --no-deps --no-build-isolation -e .
	@touch $@
endef

$(VENV)/.run: requirements.txt
	@echo "Setting up $(VENV) (a minute or two) …"
	$(call install,requirements.txt)
	@echo "Ready: source $(BIN)/activate, then tuning --help"

$(VENV)/.dev: requirements-dev.txt
	@echo "Setting up $(VENV) for development (a minute or two) …"
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.run
