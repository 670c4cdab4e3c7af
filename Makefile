# Two commands do everything on a fresh Debian 12 with Python 3.11: `make up` and `make test`.

# The system's own first: it is built with profiles, which makes servers a sixth to a third faster than a Python that
# was compiled without (pyenv's default). One that has no venv module is passed over if another has it.
ifndef PYTHON
PYTHON := $(shell for each in /usr/bin/python3.11 python3.11 python3; do \
  $$each -c 'import ensurepip, venv' 2>/dev/null && command -v $$each && break; done || command -v python3.11 || command -v python3)
endif
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
JOBS ?= $(shell nproc)

.PHONY: up test lint bench simulate chaos readme clean

up: $(INSTALLED)  ## three servers on 127.0.0.1:2181-2183, data in ./coord-data, until Ctrl-C
	@exec $(BIN)/coord up --servers 3 --base-port 2181 --data ./coord-data

# The bytecode is for the servers and commands that tests start: hundreds of processes, which would each compile coord
# where Python is told to keep none (PYTHONDONTWRITEBYTECODE).
test: $(INSTALLED)  ## in JOBS processes, which share the files: make test JOBS=1
	@$(BIN)/python -m compileall -q coord recipes tools
	$(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## coord against its goals: make bench QUICK=1, make bench ROWS=throughput,big ONLY=coord
	$(BIN)/python -m tools.bench --json build/bench.json --svg build/bench.svg $(if $(QUICK),--quick) \
	  $(if $(ROWS),--only-rows $(ROWS)) $(if $(ONLY),--only $(ONLY))

SEEDS ?= 1000
FIRST ?= 1

simulate: $(INSTALLED)  ## ensembles under faults: make simulate SEEDS=400 FIRST=12345
	$(BIN)/python -m tools.simulate --seeds $(SEEDS) --first-seed $(FIRST) --jobs $(JOBS)

SECONDS ?= 600
SERVERS ?= 3

chaos: $(INSTALLED)  ## real servers under faults: make chaos SECONDS=60 SERVERS=5 SEED=7
	$(BIN)/python -m tools.chaos --seconds $(SECONDS) --servers $(SERVERS) $(if $(SEED),--seed $(SEED))

readme: $(INSTALLED)  ## writes the tables of settings and of exit statuses into README.md
	$(BIN)/python -m tools.readme

clean:  ## leaves ./coord-data, which is yours
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Done again when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "coord needs Python 3.11 or later; on Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "coord needs Python 3.11 or later, $(PYTHON) is older or does not run; give another with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is not installed; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing coord and what it needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[admin,test]'
	@touch $@
