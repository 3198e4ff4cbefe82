# Every target works from a fresh clone: it makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo paper test lint type docs bench clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## create .venv with vssl and everything for development; CPU=1: torch without CUDA

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) .ci/install.py $(VENV) $(if $(CPU),cpu)
	@touch $(STAMP)

demo: $(STAMP)  ## small trained models and baselines on the embedded benchmark: table, picture, report
	@echo "Ten models on the embedded benchmark, into outputs/demo: three steps, together"
	@echo "about three minutes on two cores. No data, weights, GPU or network are needed."
	@echo "1 of 3: thresholds, learnt on scenes of their own"
	@$(BIN)/vssl-evaluate -m experiment=demo_validation > outputs/demo-validation.txt
	@echo "2 of 3: the test"
	@$(BIN)/vssl-evaluate -m experiment=demo
	@echo "3 of 3: all tables, figures and one page to look at"
	@$(BIN)/vssl-report outputs/demo/test --output outputs/demo/report

# make paper WEIGHTS=FOLDER DATA=FOLDER; VSSL_WEIGHTS, VSSL_DATA or conf/local/ do as well
paper: $(STAMP)  ## the paper's tables and figures with the files found, and what is missing
	$(if $(WEIGHTS),VSSL_WEIGHTS="$(WEIGHTS)") $(if $(DATA),VSSL_DATA="$(DATA)") $(BIN)/vssl-paper

# plug-ins that come with other packages would cost each process some seconds
test: $(STAMP)  ## all tests, a process for each core (at most 4)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal \
		--disable-plugin-autoload -p xdist -p hypothesispytest

lint: $(STAMP)  ## style, formatting and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(STAMP)  ## types of vssl/
	$(BIN)/mypy

docs: $(STAMP)  ## the documentation as a site to open, site/index.html; every link is checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(STAMP)  ## measure speed as ratios: benchmarks/latest.json
	$(BIN)/python benchmarks/run.py

clean:  ## remove .venv, caches and build files; outputs/ stays
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
