# Two commands: `make demo` draws a picture, `make test` runs every fast check. Both set up .venv when it is not there.
# A bare Debian needs, once:  apt install git make python3-venv

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo ui test lint types arch unit soak clean

VENV := .venv
BIN := $(VENV)/bin
# One torch thread a process: pytest runs one process a core, and two pools on two cores only wait for each other.
WORKERS ?= auto

help:
	@echo "make demo    draw a first picture into out/"
	@echo "make ui      open the web page on this machine"
	@echo "make test    ruff, mypy, import-linter and the fast tests"
	@echo "make soak    the tests marked slow"
	@echo "make clean   remove .venv and what the tools left"

demo: $(VENV)/.installed
	@$(BIN)/xattn demo

ui: $(VENV)/.installed
	@$(BIN)/xattn ui

test: lint types arch unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

arch: $(VENV)/.installed-dev
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

# The stamps: a second run installs nothing until pyproject.toml changes.
$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@echo "Installing into $(VENV), once: about 6 GB, a few minutes."
	$(BIN)/python -m pip install --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.made
	@echo "Installing into $(VENV), once: about 6 GB, a few minutes."
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/.installed $@

$(VENV)/.made:
	@for python in $${PYTHON:-} python3 python3.13 python3.12 python3.11; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python has no venv module. Install it first: apt install python3-venv" >&2; exit 1; \
	  fi; \
	  "$$python" -m venv $(VENV); \
	  touch $@; exit 0; \
	done; \
	echo "xattn needs Python 3.11 or newer; there is no such python3, python3.13, python3.12 or python3.11 on the PATH." >&2; \
	exit 1
