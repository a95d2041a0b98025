# Everything that is done with this tree. `make` alone lists the targets.

PYTHON_HERE = .venv/bin/python
# Finds a new enough Python each time, for the environments may not exist yet. With JSON=1 standard
# output is for a program, and what is set up is printed to the other one.
SET_UP = python=$$(sh scripts/find-python.sh) && "$$python" $(if $(JSON),>&2) -m scripts.setup

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# --- run ---------------------------------------------------------------------------------

.PHONY: demo
demo: ## set up what is missing and start everything on this machine (PORT, ENGINE, LOCAL_DIR)
	@python=$$(sh scripts/find-python.sh) && "$$python" -m local_cloud.preflight
	@$(SET_UP) demo
	@exec $(PYTHON_HERE) -m local_cloud demo

.PHONY: bench
bench: setup-test ## measure accuracy, latency, CPU and memory, and print the tables
	@exec $(PYTHON_HERE) -m benchmarks

# --- deploy ------------------------------------------------------------------------------

ENV ?= demo
CDK = PATH="$(CURDIR)/.venv/bin:$$PATH" CDK_DISABLE_CLI_TELEMETRY=true \
	JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 \
	infra/node_modules/.bin/cdk --no-notices --context environment=$(ENV)

# Pipelines hand an assembly over in CDK_APP: they are signed in, and have no Python of ours.
SIGNED_IN = $(if $(CDK_APP),true,$(PYTHON_HERE) -m infra.commands.account --signed-in)

.PHONY: build
build: ## build what is deployed: function code, their dependencies for arm64, the page
	@$(SET_UP) build

# Marks what no template of the account names, and deletes what has been marked for a month: twice a
# month apart, then. Unstable is only its command line (docs/delivery.md).
PRUNE = gc --unstable=gc --rollback-buffer-days 30 --created-buffer-days 30

.PHONY: prune
prune: build ## delete assets that the CDK keeps of old deployments; asks first
	@$(SIGNED_IN)
	@$(CDK) $(PRUNE)

.PHONY: bootstrap
bootstrap: build ## prepare an AWS account and region for deployments, once
	@$(SIGNED_IN)
	@$(CDK) bootstrap
	@$(PYTHON_HERE) -m infra.commands.account

.PHONY: synth
synth: build ## write the CloudFormation templates of ENV (default: demo) to build/cdk.out
	@$(CDK) synth --quiet
	@echo "The templates of $(ENV) are in $(or $(CDK_OUTPUT),build/cdk.out)."

.PHONY: diff
diff: build ## show what a deployment of ENV would change
	@$(SIGNED_IN)
	@$(CDK) diff

.PHONY: deploy
deploy: build ## deploy ENV to the AWS account that you are signed in to
	@$(SIGNED_IN)
	@$(CDK) deploy --all --strict --outputs-file build/outputs-$(ENV).json

.PHONY: destroy
destroy: synth ## remove ENV from AWS; protected data stay
	@$(PYTHON_HERE) -m infra.commands.teardown $(ENV)
	@$(CDK) destroy --all

.PHONY: cost
cost: build ## compute what ENV costs a month from its templates (JSON=1: for programs)
	@$(PYTHON_HERE) -m infra.commands.cost $(ENV) $(if $(JSON),--json)

# The demo of this machine keeps its address and credentials in a file.
HERE = $(if $(filter local,$(ENV)),demo=$$($(PYTHON_HERE) -m local_cloud.shell) && . "$$demo" &&)

.PHONY: redrive
redrive: setup-python ## send what failed in ENV back (QUEUE=utterances|jobs|undelivered), or list it
	@$(HERE) $(PYTHON_HERE) -m infra.commands.redrive $(ENV) $(QUEUE) $(if $(JSON),--json)

# These four take the same words. BUILDAH_FORMAT: podman and buildah keep a health check in Docker's
# format only.
CONTAINER_BUILD ?= $(firstword $(foreach tool,docker podman finch buildah,$(if $(shell command -v $(tool)),$(tool))))
IMAGE ?= ecs_service

.PHONY: images
images: ## build the container image of IMAGE=ecs_service|gpu_server (CONTAINER_BUILD, BUILD_OPTIONS)
	@test -n "$(CONTAINER_BUILD)" || { echo "Install docker, podman, finch or buildah to build images." >&2; exit 1; }
	BUILDAH_FORMAT=docker $(CONTAINER_BUILD) build --file $(IMAGE)/Dockerfile --tag cloudscribe/$(IMAGE) $(BUILD_OPTIONS) .

# --- test --------------------------------------------------------------------------------

PYTEST = $(PYTHON_HERE) -m pytest
# What computes gives way to tests that wait for an answer.
COMPUTE = nice -n 5
# Each part's output at once, when it is done. The make of macOS cannot.
GROUPED = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
# Hundreds of processes would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test
test: setup-test ## set up and run every check and test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory --keep-going -j3 $(GROUPED) together types unit frontend browser
	@$(MAKE) --no-print-directory alone

.PHONY: lint
lint: setup-dev ## check format and style of the Python code
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m ruff check .

.PHONY: types
types: setup-dev ## check the types of the Python code
	$(COMPUTE) $(PYTHON_HERE) -m mypy .

.PHONY: frontend
frontend: setup-dev setup-page ## check and test the web page
	cd frontend && $(COMPUTE) npm run --silent protocol:check && $(COMPUTE) npm run --silent check

.PHONY: unit
unit: setup-dev ## run the unit tests
	$(COMPUTE) $(PYTEST) -n logical --maxprocesses 8 tests/unit

.PHONY: integration
integration: setup-test ## run the tests against real services on this machine
	@$(MAKE) --no-print-directory together
	@$(MAKE) --no-print-directory alone

# They wait more than they compute. Those that measure time or memory follow one by one.
.PHONY: together alone
together: setup-test
	$(PYTEST) -n 6 -m "not alone" tests/integration
alone: setup-test
	$(PYTEST) -m alone tests/integration

.PHONY: browser
browser: setup-test ## run the tests in a real Chromium
	$(PYTEST) tests/browser

.PHONY: fuzz
fuzz: setup-test ## try files, events, frames and environments at length (FACTOR=1: some minutes)
	@$(PYTHON_HERE) -m tests.fuzz $(FACTOR)

.PHONY: drill
drill: setup-test ## kill everything at random moments and count lost finals (RUNS=12)
	@$(PYTHON_HERE) -m tests.support.kill_drill $(or $(RUNS),12)

# --- maintain ----------------------------------------------------------------------------

.PHONY: lock
lock: setup-dev ## write the locked requirements from pyproject.toml (UPGRADE=1: newer versions)
	@$(PYTHON_HERE) -m scripts.lock $(if $(UPGRADE),--upgrade)

.PHONY: transcribe-values
transcribe-values: setup-test ## write what Amazon Transcribe takes from its SDK (UPGRADE=1: the newest)
	$(if $(UPGRADE),cd tests/aws_sdk_js && npm install --save-dev @aws-sdk/client-transcribe-streaming@latest)
	$(PYTHON_HERE) -m scripts.transcribe_values

.PHONY: protocol
protocol: setup-dev setup-page ## write docs/protocol.md and the page's types from the models
	$(PYTHON_HERE) -m transcripts.render markdown > docs/protocol.md.new
	mv docs/protocol.md.new docs/protocol.md
	cd frontend && npm run --silent protocol

.PHONY: emulator
emulator: ## set up the AWS emulator's environment
	@$(SET_UP) emulator

.PHONY: clean
clean: ## remove the demo's data and logs
	rm -rf .local

.PHONY: distclean
distclean: clean ## remove everything that was set up or built
	rm -rf .venv .venv-emulator frontend/node_modules frontend/dist infra/node_modules build
	rm -rf tests/aws_sdk_js/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: setup-python setup-dev setup-test setup-page
setup-python:
	@$(SET_UP) python
setup-dev:
	@$(SET_UP) dev
setup-test:
	@$(SET_UP) test
setup-page:
	@$(SET_UP) page
