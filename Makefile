# Every command sets the project up first (its own .venv, nothing outside this folder).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export DEFIYIELD_HOME ?= $(CURDIR)/var

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test slow lint bench study forecasts docs clean

help: ## Show these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Make .venv with the pinned dependencies

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or pass PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## Run the daily pipeline over history and print what it decided (DEFIYIELD_SOURCE=recorded:DIR for real data)
	@$(BIN)/python -m defiyield_dagster.demo

ui: setup ## Open Dagster's UI on the demo's data
	@$(BIN)/python -m defiyield_dagster.ui

test: setup ## Run the tests (under ten minutes on two cores)
	@$(BIN)/python -m pytest -n 2 -m "not slow"

slow: setup ## Run the tests that take long: recorded years, whole demos, dbt, sweeps through Dagster
	@$(BIN)/python -m pytest -n 2 -m slow

lint: setup ## Run ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## Measure the speeds that the documentation quotes (writes docs/benchmarks.md)
	@$(BIN)/python -m tests.bench

study: setup ## Compare the allocation rules over the recorded year (writes docs/allocation_study.md)
	@$(BIN)/python -m tests.study

forecasts: setup ## Score the forecasts over the recorded test span, in error and in money (writes docs/forecasts.md)
	@$(BIN)/python -m tests.study.forecasts

docs: setup ## Write the generated parts again: sql/, dbt sources, docs/tables.md, docs/allocate.md and its schemas
	@$(BIN)/python -m defiyield_core.contracts.generate
	@$(BIN)/python -m defiyield_core.allocation.schema

clean: ## Remove the demo's data (keeps .venv)
	rm -rf var
