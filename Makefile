# Every target makes .venv by itself on first use and reuses it afterwards.
#   make demo    the main job on a clip that Longwatch draws
#   make test    every test on one machine; make test-scale: those over PostgreSQL, S3 and Ray
#   make test-fast: tests of a minute; make check: format, lint, types, layers
# PYTHON chooses the interpreter; TORCH the torch that is installed, e.g. make setup TORCH=torch
# for the newest CUDA build. Without an NVIDIA driver a fixed release is taken, with a small CPU
# build where the package index has one.

PYTHON ?= python3
TORCH ?= $(if $(shell command -v nvidia-smi 2>/dev/null),torch>=2.13,torch==2.13.0)
BIN := .venv/bin
READY := .venv/.ready
SCRIPTS := 'app/ui/static/**/*.js' '!app/ui/static/vendor/**'

.PHONY: setup demo test test-fast test-scale mutants serve check fix bench profile parity browser lock audit wheel-check
setup: $(READY)

$(READY): pyproject.toml requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Longwatch needs Python 3.11 or newer: make PYTHON=python3.11 $@"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes, once) ..."
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet '$(TORCH)'
	@{ $(BIN)/python -m pip install --quiet --require-hashes --no-deps \
		--requirement requirements.lock --requirement requirements-dev.lock \
		&& $(BIN)/python -m pip install --quiet --no-deps --editable . ; } || { \
		test -z "$$CI" || { echo "requirements*.lock cannot be installed: make lock renews them"; exit 1; }; \
		echo "The files of requirements*.lock cannot be had for this Python or machine (see above):"; \
		echo "installing the newest that pyproject.toml allows instead; these were not tested."; \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'; }
	@touch $@

demo: $(READY)
	@$(BIN)/longwatch demo

serve: $(READY)
	@$(BIN)/longwatch serve

# A process for each core, and the tests of a file in one process.
PARALLEL := --numprocesses auto --dist loadgroup
# No browser, no server, no training, no whole model: what to run at every save.
FAST := tests/test_house.py tests/storage tests/contracts/test_indexes.py tests/contracts/test_tiers.py \
	tests/engine/test_records.py tests/engine/cache tests/engine/pipeline tests/engine/synthetic \
	tests/engine/models/layers tests/engine/media/test_sample.py tests/engine/media/test_clip.py \
	tests/engine/media/test_source.py tests/app/config/test_settings.py tests/app/test_timefmt.py

test: $(READY) browser
	$(BIN)/python -m pytest -q $(PARALLEL)

test-fast: $(READY)
	$(BIN)/python -m pytest -q $(PARALLEL) $(FAST)

# Beyond one machine: the servers are started by the tests. `make test` leaves these out.
test-scale: $(READY)
	$(BIN)/python -m pytest -q $(PARALLEL) -m 'scale and not gpu and not slow'

# Can the tests fail? Faults are planted in a copy of the tree, and those that nothing noticed shown.
mutants: $(READY)
	$(BIN)/python -m tests.mutants

# The wheel in an environment of its own, as a user would install it: contents, then the demo.
wheel-check: $(READY)
	@.ci/wheel-check $(BIN)/python '$(TORCH)'

# Browser tests drive a real Chromium. Without one they skip (and fail where CI is set).
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& echo "Installing Chromium for the browser tests ..." \
			&& apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
		|| echo "No Chromium: browser tests will not run (apt-get install chromium)"

parity: $(READY)
	@$(BIN)/python -m tests.parity

bench: $(READY)
	@$(BIN)/longwatch bench

# Where the time of a benchmark goes, children included: make profile NAME=ingest
profile: $(READY)
	$(BIN)/py-spy record --subprocesses --output profile-$(NAME).svg -- $(BIN)/longwatch bench $(NAME)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/oxfmt --check $(SCRIPTS)
	$(BIN)/oxlint app/ui/static
	$(BIN)/lint-imports
	$(BIN)/mypy

# Renews the locks within the ranges of pyproject.toml; then `make test`, and commit if that passes.
# The report keeps pip's addresses and stays in .venv; names, versions and digests are written down.
lock: $(READY)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --report .venv/report.json \
		'$(TORCH)' --editable '.[dev]'
	@.ci/lock $(BIN) .venv/report.json
	@git --no-pager diff --stat -- requirements.lock requirements-dev.lock

# Known weaknesses in the locked versions, and the age of the FFmpeg that PyAV brings.
audit: $(READY)
	@.ci/audit $(BIN)/python

fix: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/oxlint --fix app/ui/static
	$(BIN)/oxfmt $(SCRIPTS)
