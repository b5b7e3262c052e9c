# Needs only Python 3.11+, pip and make: `make demo` to see it work, `make test` to check it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEUROHW := $(BIN)/neurohw
DEMO := runs/demo
EPOCHS ?= 3
export NUMBA_CACHE_DIR := $(CURDIR)/.numba_cache

.PHONY: demo report-demo test without-jit lint bench soak coverage ngspice clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@mkdir -p $(DEMO)
	@if ls $(DEMO)/*.h5 >/dev/null 2>&1; then echo "Replacing the earlier demo in $(DEMO)."; rm -f $(DEMO)/*.h5; fi
	@echo "Training 1568-100-10 on all of MNIST, $(EPOCHS) epochs: ideal chip"
	@$(NEUROHW) train --recipe drn-xs --chip ideal --epochs $(EPOCHS) --out $(DEMO)/ideal.h5
	@echo "Training 1568-100-10 on all of MNIST, $(EPOCHS) epochs: epiram chip"
	@$(NEUROHW) train --recipe drn-xs --chip epiram --epochs $(EPOCHS) --out $(DEMO)/epiram.h5
	@$(NEUROHW) report $(DEMO)/ideal.h5 $(DEMO)/epiram.h5 --out $(DEMO)/report.html
	@echo "Open $(CURDIR)/$(DEMO)/report.html"

report-demo: $(VENV)/installed
	@$(NEUROHW) report $(DEMO)/ideal.h5 $(DEMO)/epiram.h5 --out $(DEMO)/report.html

# The other checks run beside the tests and are shown after them; the tests' closing line comes last.
test: ngspice
	@{ $(MAKE) --no-print-directory lint without-jit; echo $$? >.checks.status; } >.checks.log 2>&1 & \
	{ $(BIN)/python -m pytest -n 2 --dist loadfile; echo $$? >.tests.status; } 2>&1 | tee .tests.log; \
	wait; cat .checks.log; \
	read checks <.checks.status; read tests <.tests.status; \
	$(FIND_NGSPICE) || echo $(NO_NGSPICE); \
	tail -n 1 .tests.log; exit $$((checks | tests))

without-jit: $(VENV)/installed-dev
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -m kernels

lint: $(VENV)/installed-dev
	$(BIN)/ruff check neurohw tests datasets
	$(BIN)/ruff format --check neurohw tests datasets
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python tests/benchmarks/bench.py

soak: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m soak tests

coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term

clean:
	rm -rf $(VENV) .numba_cache .coverage .checks.* .tests.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "neurohw needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -c 'import pip, venv' 2>/dev/null; then \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; \
	else echo "Python's venv is missing; install it: apt install python3-venv"; exit 1; fi

$(VENV)/installed: $(BIN)/python pyproject.toml
	@echo "Installing neurohw into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml
	@echo "Installing neurohw and its development tools into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,spice]'
	@touch $@ $(VENV)/installed

FIND_NGSPICE = $(BIN)/python -c 'from ctypes.util import find_library; import sys; sys.exit(not find_library("ngspice"))'
NO_NGSPICE = "libngspice is missing, so tests that need SPICE fail; install it: apt install libngspice0"
APT_NGSPICE = env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libngspice0

# As root or with a password-less sudo libngspice is installed; otherwise one line says how.
ngspice: $(VENV)/installed-dev
	@$(FIND_NGSPICE) && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as=; else as="sudo -n"; fi; \
	if command -v apt-get >/dev/null && { [ -z "$$as" ] || $$as true 2>/dev/null; }; then \
	  echo "Installing libngspice0"; \
	  $$as $(APT_NGSPICE) >/dev/null 2>&1 || \
	    { $$as apt-get update -qq >/dev/null 2>&1; $$as $(APT_NGSPICE) >/dev/null 2>&1; }; \
	fi; \
	$(FIND_NGSPICE) || echo $(NO_NGSPICE)
