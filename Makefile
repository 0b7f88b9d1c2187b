# `make demo` and `make test` are all a newcomer types.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rebuilt when the build files or a hot loop changes.
HOT := $(shell sed -n 's/^    "\(analyzer.*\.py\)",/\1/p' setup.py)
BUILD := pyproject.toml setup.py $(HOT)
# What runs, and what tests need besides: newcomers wait for the first only.
MAIN := $(VENV)/.main
STAMP := $(VENV)/.tests
# Hundreds of tests start the program: where the environment forbids byte code, each would compile all of it again.
export PYTHONDONTWRITEBYTECODE :=
# Python makes byte code of what it imports; of everything, beforehand, it takes a third of the time and of the room.
INSTALL := $(BIN)/pip install --quiet --quiet --disable-pip-version-check --no-compile $(INSTALL_OPTIONS)

.PHONY: help demo test lint fast bench recording reliability fuzz mutants reports site sbom lock dist clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(VENV):
	@$(PYTHON) -m venv $(VENV)

$(MAIN): $(BUILD) | $(VENV)
	@echo "Installing into $(VENV): some 60 MB of packages, then compiling $(words $(HOT)) hot loops; about a minute."
	@$(INSTALL) --editable .
	@touch $@

$(STAMP): $(BUILD) | $(VENV)
	@echo "Installing into $(VENV) with all that the tests need: about 1 GB; some minutes."
	@$(INSTALL) --editable '.[test]'
	@-$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib  # under pytest, what a compiler warns of is an error
	@touch $(MAIN) $@

demo: $(MAIN) ## install what the main job needs, analyse a shipped real capture, say the verdict and where the report is
	@echo "Analysing fixtures/snat-race."
	@$(BIN)/lostsyn report fixtures/snat-race -o $(CURDIR)/demo.html

lint: $(STAMP) ## ruff, ruff format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: $(STAMP) ## the tests that need neither root nor other programs
	$(BIN)/pytest -n auto -m 'not kernel and not tshark and not browser and not field'

test: lint ## everything; what this machine lacks is skipped and said (LOSTSYN_STRICT=1: a skip is a failure)
	$(BIN)/pytest -n auto -m 'not kernel'
	$(BIN)/pytest -m kernel  # one after the other: races need the processors to themselves

bench: $(STAMP) ## measure time and memory on traffic of many shapes beside tcpdump, as ratios; then beside others; a fleet
	$(BIN)/python benchmarks/shapes.py
	$(BIN)/python benchmarks/compare.py 1e6
	$(BIN)/python benchmarks/listings.py
	$(BIN)/python benchmarks/fleet.py

recording: $(STAMP) ## measure what recording costs: throughput and packets missed, beside plain tcpdump (root)
	$(BIN)/python benchmarks/recording.py

reliability: $(STAMP) ## measure what hostile input, idle connections and kills cost
	$(BIN)/python -m benchmarks.reliability --large --kills 100

FUZZ ?= --seconds 60
fuzz: $(STAMP) ## feed everything that reads a stranger's bytes with damage; FUZZ='--cases 400000 --seconds 1e9' for more
	$(BIN)/python -m tests.fuzz $(FUZZ)

mutants: $(STAMP) ## change the deciding modules in small ways, and list what no test notices; MUTANTS='analyzer.nat.matching*' for some
	@$(INSTALL) --editable '.[mutants]'
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

reports: $(STAMP) ## render reports/ anew from fixtures/
	$(BIN)/python -m tests.golden

site: $(STAMP) ## build the documentation into site/; a warning is an error
	$(BIN)/python docs/site.py site

sbom: $(STAMP) ## print what is installed for the main job, as CycloneDX JSON
	@$(BIN)/python .ci/sbom.py

lock: $(STAMP) ## write anew what CI installs, by version and hash
	$(BIN)/python .ci/lock.py

# 2 builds that differ are none that anyone could check.
dist: export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct)
dist: $(STAMP) ## build the source distribution, a wheel of this machine (twice, and compare) and the bill of materials
	rm -rf dist build && mkdir -p dist/again
	$(BIN)/python -c 'from setuptools import build_meta as b; b.build_sdist("dist")'
	tar -xzf dist/lostsyn-*.tar.gz -C dist/again --strip-components 1
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/again dist/again
	cmp dist/*.whl dist/again/*.whl
	$(BIN)/python .ci/sbom.py > dist/lostsyn.cdx.json
	rm -rf dist/again

clean: ## remove what make made
	rm -rf $(VENV) build dist site *.egg-info demo.html
	find analyzer -name '*.so' -o -name '*.c' -o -name __pycache__ | xargs rm -rf
