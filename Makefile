# Two commands: `make demo` and `make test`. Each first makes .venv and installs what is pinned in
# requirements/, unless that is done already.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Leave out what scoring does not use: image support (mtmd) and HTTPS. The library itself is compiled for the
# machine at hand. For a GPU: make demo LLAMA_CMAKE="-DGGML_CUDA=on"
LLAMA_CMAKE ?= -DLLAVA_BUILD=off -DLLAMA_OPENSSL=off
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test long oracle browser lint types check docs wheel clean

demo: $(READY)
	$(BIN)/socrates-fast demo

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Whole runs that are killed, interrupted, repeated, or fill a disk; CI runs them as well.
long: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "long and not slow"

# Compares the export with llama.cpp's own converter, and scores on real vocabularies with Transformers, from the
# source distribution that pip downloads once.
oracle: $(READY)
	$(BIN)/python -m pytest -m oracle tests/export tests/infer

# Looks at the report in Chromium (Debian: apt-get install chromium); skipped where there is none.
browser: $(READY)
	$(BIN)/python -m pytest -m browser tests/evaluate

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m socrates_fast.reference docs
	$(BIN)/python -m socrates_fast.plan.guide
	$(BIN)/python -m socrates_bench.report.guide

# A wheel, installed without its dependencies' training half in a venv of its own and run outside the checkout.
wheel: $(READY)
	bash .ci/wheel

check: lint types test long browser oracle wheel

$(READY): requirements/core.txt requirements/train.txt requirements/unsloth.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; compiling llama.cpp takes most of the time) ..."
	@$(PIP) install --upgrade pip
	@$(PIP) install -r requirements/train.txt -r requirements/dev.txt
	@CMAKE_ARGS="$(LLAMA_CMAKE) $(CMAKE_ARGS)" CMAKE_BUILD_PARALLEL_LEVEL=$$(nproc) $(PIP) install -r requirements/core.txt
	@$(PIP) install --no-deps -r requirements/unsloth.txt   # why --no-deps: see that file
	@$(PIP) install --no-deps --editable .
	@touch $@

clean:
	rm -rf $(VENV) dist runs
