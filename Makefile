# `make demo` and `make test` are all a newcomer types.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rebuilt when the build files or a hot loop changes.
HOT := $(shell sed -n 's/^    "\(analyzer.*\.py\)",/\1/p' setup.py)
STAMP := $(VENV)/.installed

.PHONY: help demo test lint fast bench recording reliability fuzz reports clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(STAMP): pyproject.toml setup.py $(HOT)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(STAMP) ## install, analyse a shipped real capture, say where the report is
	@$(BIN)/lostsyn report fixtures/snat-race -o demo.html
	@echo "The report is $(CURDIR)/demo.html"

lint: $(STAMP) ## ruff, ruff format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: $(STAMP) ## the tests that need neither root nor other programs
	$(BIN)/pytest -n auto -m 'not kernel and not tshark and not browser and not field'

test: lint ## everything; what this machine lacks is skipped and said (LOSTSYN_STRICT=1: a skip is a failure)
	$(BIN)/pytest -n auto -m 'not kernel'
	$(BIN)/pytest -m kernel  # one after the other: races need the processors to themselves

bench: $(STAMP) ## measure time and memory beside tcpdump, capinfos, dpkt, tshark and scapy, as ratios; then the worst cases
	$(BIN)/python benchmarks/compare.py 1e5 1e6 1e7
	$(BIN)/python benchmarks/compare.py 1e7 --full
	$(BIN)/python benchmarks/worst.py
	$(BIN)/python benchmarks/listings.py

recording: $(STAMP) ## measure what recording costs: throughput and packets missed, beside plain tcpdump (root)
	$(BIN)/python benchmarks/recording.py

reliability: $(STAMP) ## measure what hostile input, idle connections and kills cost
	$(BIN)/python -m benchmarks.reliability --large --kills 100

FUZZ ?= --seconds 60
fuzz: $(STAMP) ## feed everything that reads a stranger's bytes with damage; FUZZ='--cases 400000 --seconds 1e9' for more
	$(BIN)/python -m tests.fuzz $(FUZZ)

reports: $(STAMP) ## render reports/ anew from fixtures/
	$(BIN)/python -m tests.golden

clean: ## remove what make made
	rm -rf $(VENV) build *.egg-info demo.html
	find analyzer -name '*.so' -o -name '*.c' -o -name __pycache__ | xargs rm -rf
