# vmguard. Python 3.11 or newer is all that is needed; `make test` and `make cluster` build a control plane with Go.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONTROL_PLANES := 1.37 1.24
TOOLS := helm-4 helm-3 helm-docs actionlint promtool
# On the PATH, or one of pyenv's; a shim of pyenv may be there and not work. Empty when there is none.
PYTHON_3_13 ?= $(shell for each in python3.13 "$$(pyenv prefix 3.13 2>/dev/null)/bin/python3.13"; \
	do "$$each" --version >/dev/null 2>&1 && { command -v "$$each"; break; }; done)

# What builds the image: the first of these that runs here. PYTHON_IMAGE and PLATFORM are the builder's own when empty.
BUILDER ?= $(shell for each in docker podman buildah; do "$$each" info >/dev/null 2>&1 && { echo "$$each"; break; }; done)
IMAGE ?= vmguard:0.1.0
SBOM := dist/vmguard.cdx.json

.PHONY: help run test first-build first-cluster control-plane unit unit-3.13 python-3.13 cluster lint bench matrix image sbom clean

help: ## show what there is
	@grep -E '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/run ## serve the examples, show one admission, stay up
	@$(BIN)/python examples/tour.py

test: first-build control-plane ## everything
	$(BIN)/python -m pytest -n 3 --dist worksteal tests  # most of the time tests wait

first-build: # say how long it takes, where there is something to build
	@$(PYTHON) -m tests.controlplane.build --estimate $(CONTROL_PLANES) $(TOOLS) 2>/dev/null || true

control-plane: $(VENV)/dev ## build the programs of the test control planes and other tools, once on a machine
	$(BIN)/python -m tests.controlplane.build $(CONTROL_PLANES) $(TOOLS)

unit: $(VENV)/dev ## the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --hypothesis-profile=quick tests/unit

unit-3.13: python-3.13 ## the fast tests on Python 3.13, the version of the image
	$(MAKE) unit PYTHON=$(PYTHON_3_13) VENV=.venv-3.13

python-3.13: # say so if there is none
	@test -n "$(PYTHON_3_13)" || \
		{ echo "There is no Python 3.13 here: make unit-3.13 PYTHON_3_13=/path/to/python3.13"; exit 1; }

cluster: first-cluster $(VENV)/dev ## a real control plane with vmguard in it, up until Ctrl-C; VERSION=1.24 for PodSecurityPolicies, REPLICAS=3, or OVERLAY=default
	@$(BIN)/python -m tests.controlplane.cluster $(VERSION) $(REPLICAS:%=--replicas %) $(OVERLAY:%=--overlay %)

first-cluster: # say at once what a first run does, and how long it takes
	@test -e $(VENV)/dev || echo "First run: make installs Python packages into $(VENV), which takes one to two minutes on two cores."
	@$(PYTHON) -m tests.controlplane.build --estimate $(VERSION) 2>/dev/null || true

lint: $(VENV)/dev ## ruff, mypy, import-linter, hadolint, and deploy/ as generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/vmguard manifests deploy --check

bench: $(VENV)/dev ## all figures of docs/benchmarks.md; needs Go, root, an hour and a half; BESIDE=DIR adds the vmguard of a checkout
	$(BIN)/python -m tests.controlplane.build
	$(BIN)/python -m bench.reviews $(BESIDE:%=--beside %)
	$(BIN)/python -m bench.pods $(BESIDE:%=--beside %)
	$(BIN)/python -m bench.start --cluster $(BESIDE:%=--beside %)
	$(BIN)/python -m bench.memory $(BESIDE:%=--beside %)
	$(BIN)/python -m bench.pods_of_one_owner
	$(BIN)/python -m bench.flood
	$(BIN)/python -m bench.attacks $(BESIDE:%=--beside %)
	$(BIN)/python -m bench.scale
	$(BIN)/python -m bench.audit_cost
	$(BIN)/python -m bench.availability
	$(BIN)/python -m bench.image

image: ## build the image with docker, podman or buildah; IMAGE=NAME:TAG, PYTHON_IMAGE=NAME@DIGEST, PLATFORM=linux/arm64
	@test -n "$(BUILDER)" || { echo "No docker, podman or buildah runs here. Install buildah, or start docker."; exit 1; }
	$(BUILDER) build $(PLATFORM:%=--platform %) $(PYTHON_IMAGE:%=--build-arg PYTHON_IMAGE=%) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) $(BUILD_OPTIONS) --tag $(IMAGE) .

sbom: $(VENV)/dev ## list the packages of the image with their hashes, as CycloneDX, in dist/
	@mkdir -p $(dir $(SBOM))
	@sed "s/^dynamic = .*/version = \"$$($(BIN)/vmguard --version | cut -d' ' -f2)\"/" pyproject.toml >$(SBOM).toml
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject $(SBOM).toml --output-reproducible \
		--output-format JSON --output-file $(SBOM) requirements.lock
	@rm $(SBOM).toml
	@echo $(SBOM)

matrix: $(VENV)/dev ## the tests that depend on the version of Kubernetes, on each version; hours; VERSIONS="1.27 1.30"
	$(BIN)/python -m tests.controlplane.matrix $(VERSIONS)

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-3.13 .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist

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
	@ln -sf vmguard $(BIN)/kubectl-vmguard
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
