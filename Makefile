# make demo   a folder of example images -> a CNN -> predictions
# make test   the test suite
# make lint   ruff and mypy
# make devices   the C of CNNs on many compilers and processors; installs Debian's packages if it may
# make faults kills, full disks, damaged and hostile files: all that tests/faults tries, in about ten minutes of one core
# make fuzz   inputs led by what they reach, for every reader; SECONDS=60 for each
# make browser pages in a real browser; installs Debian's Chromium if it may
# Each sets up .venv by itself; needs Python 3.11 or newer (PYTHON=... names another one).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint devices faults browser chromium fuzz

demo: $(VENV)/.package
	rm -rf demo-output
	$(BIN)/htgen generate --support examples/symbols/support --output demo-output/symbols.safetensors
	$(BIN)/htgen predict demo-output/symbols.safetensors examples/symbols/new

# A process of one thread for each core, as most tests are too small for two threads to help, and one more, as
# some wait for a browser or another process. The tests of a file share what they train, and stay in one process.
# What is skipped is told with its reason, such as pages in a browser where there is no Chromium (make browser
# installs it). Files come in their order: xdist would leave those of few tests for the end, which are the longest.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $$($(BIN)/python -c "import os; print((os.cpu_count() or 1) + 1)") --dist loadfile --no-loadscope-reorder -rs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

devices: $(VENV)/.package
	OMP_NUM_THREADS=1 $(BIN)/python docs/measurements/devices.py --install

# In one thread, in an order that can be repeated; `make test` has a part of it.
faults: $(VENV)/.dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m faults --page ../docs/reference/reliability.md

SECONDS ?= 60
fuzz: $(VENV)/.dev
	$(PIP) atheris
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m faults.fuzz --seconds $(SECONDS) --page ../docs/reference/reliability.md

browser: $(VENV)/.dev chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

chromium:
	command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium

$(VENV)/.package: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('htgen needs Python 3.11 or newer') if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.package
	$(PIP) --editable '.[dev]'
	touch $@
