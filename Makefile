# vmguard. Python 3.11 or newer is all that is needed; `make test` and `make cluster` build a control plane with Go.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help run test unit cluster lint bench clean

help: ## show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: $(VENV)/run ## serve the examples, show one admission, stay up
	@$(BIN)/python examples/tour.py

test: $(VENV)/dev ## everything
	$(BIN)/python -m tests.controlplane.build 1.37 1.24
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

unit: $(VENV)/dev ## the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" tests/unit

cluster: $(VENV)/dev ## a real control plane with vmguard in it, up until Ctrl-C; VERSION=1.24 for PodSecurityPolicies
	@$(BIN)/python -m tests.controlplane.cluster $(VERSION)

lint: $(VENV)/dev ## ruff, mypy, import-linter, hadolint, and deploy/ as generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/vmguard manifests deploy --check

bench: $(VENV)/dev ## side by side: reviews, cold start and memory, pods through an API server, a crowded cluster; needs Go, half an hour
	$(BIN)/python -m bench.reviews
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.flood
	$(BIN)/python -m tests.controlplane.build
	$(BIN)/python -m bench.pods
	$(BIN)/python -m bench.scale

clean: ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/vmguard.pth"
	@printf '#!%s\nimport sys\nfrom webhook.cli.main import main\nsys.exit(main())\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/vmguard
	@chmod +x $(BIN)/vmguard
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
