PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHAT_INSTALLS := pyproject.toml constraints.txt

.PHONY: demo test venv

# Everything, on the embedded backdoored model.
demo: $(VENV)/.installed
	$(BIN)/pcr-audit demo

# What must hold before a commit.
test: export HF_HUB_OFFLINE = 1
test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n 2

# The environment of a developer.
venv: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The stamps are files, so that pip runs again only when what it reads has changed.
$(VENV)/.installed: $(WHAT_INSTALLS) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(WHAT_INSTALLS) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(VENV)/.installed $@
