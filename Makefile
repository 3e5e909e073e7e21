# make book    runs all chapters on the embedded birds (quick profile) and builds the book
# make test    all tests
# PYTHON: the interpreter that makes the virtual environment;  VENV: where it lies.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test,demo,offline-weights,diffusion
BIN := $(VENV)/bin
# Processes that share the tests.
WORKERS ?= 2
STAMP := $(VENV)/.installed
RUN := $(BIN)/python -m nbsupport

.DEFAULT_GOAL := help
.PHONY: help install book smoke test lint format demo picture clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# Installed once, and again when the dependencies change.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

install: $(STAMP)  ## create the virtual environment and install

book: $(STAMP)  ## run all chapters (quick profile, embedded birds), build the book, print where it is
	$(RUN) run --profile quick
	$(RUN) book --profile quick

smoke: $(STAMP)  ## run all chapters at their smallest, a few minutes
	$(RUN) run --profile smoke

# Two processes of one thread each: on two cores faster than one of two. The tests that share a smoke run stay together.
test: $(STAMP)  ## all tests: unit, notebooks, book, browser
	OMP_WAIT_POLICY=$${OMP_WAIT_POLICY:-passive} OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} \
		$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --durations 15

lint: $(STAMP)  ## check style, formatting, which room imports which, names and arguments
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(STAMP)  ## mend what lint can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(STAMP)  ## paint holes and have them judged, in a browser
	$(RUN) demo

picture: $(STAMP)  ## draw the README's picture anew
	$(RUN) picture

clean:  ## remove the built book and caches; runs/ and data/ stay
	rm -rf _build dist build .pytest_cache .ruff_cache .hypothesis
