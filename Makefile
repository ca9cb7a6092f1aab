# `make` alone lists the targets. Everything is installed into .venv; nothing of the system's Python is touched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VERBS := grants migrate preflight plan verify rollback redirect retire
.PHONY: $(VERBS) help setup packages sandbox-up sandbox-down seed demo lint test unit integration e2e molecule chaos \
	bench bench-packages collection docs lock

PYTHON ?= python3
DB ?= mariadb
OBJECTS ?= 1000
SEED_ODDITIES ?=
ENV ?=

# A variable that is misspelled would be ignored, and a CEHCK=1 would migrate.
KNOWN := ARGS CHECK CONFIRM DB DIFF ENV INVENTORY OBJECTS PYTHON QUICK RESTORE SCENARIO SCENARIOS SEED SEED_ODDITIES VAULT
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(filter-out $(KNOWN) MAKEFLAGS MAKEOVERRIDES,$(filter-out -%,$(GIVEN)))
$(if $(UNKNOWN),$(error $(UNKNOWN): unknown. The variables are $(KNOWN)))

BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv/peers
# Whole playbooks leave much of two cores idle: three thirds of the tests share them, each with servers of its own.
THIRDS := -n 3 --dist worksteal
NGINX := .venv/nginx
NGINX_PACKAGES := nginx libnginx-mod-http-headers-more-filter
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# The tools that Ansible starts by name are found where it is installed.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_FORCE_COLOR ?= $(shell [ -t 1 ] && echo 1 || echo 0)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## install everything into .venv; quick when nothing changed

$(INSTALLED): requirements.txt requirements-dev.txt requirements-collections.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rehome needs Python 3.11 or later; $$($(PYTHON) --version) is what PYTHON=$(PYTHON) names." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq python3-venv; }
	@echo "Installing into .venv (a minute or so the first time) ..."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-compile -r requirements-collections.txt
	@touch $@

packages: setup $(NGINX)/.installed ## install the servers that the tests start (OS packages), where they are missing
	@for db in mariadb postgresql; do \
	  $(BIN)/ansible-playbook playbooks/sandbox.yml -e state=installed -e db=$$db; done
	@command -v node >/dev/null || { $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends nodejs; }

sandbox-up: setup ## start the sandbox: an object store and a database (DB=mariadb|postgresql|sqlite)
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=present -e db=$(DB)

sandbox-down: setup ## end the sandbox and remove all it made
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=absent

seed: setup ## fill the sandbox (OBJECTS=1000, SEED_ODDITIES=1 for all that real data has)
	@$(BIN)/python -m sandbox.seed --reset --objects $(OBJECTS) $(if $(SEED_ODDITIES),--oddities)

demo: ## from nothing to a verified migration in the sandbox
	@$(MAKE) --no-print-directory sandbox-up seed
	@echo; echo "=== 1 of 3: a dry run, which writes nothing ==="
	@$(BIN)/ansible-playbook migrate.yml -e env=sandbox $(KEEP) --check --diff
	@echo; echo "=== 2 of 3: the migration ==="
	@$(BIN)/ansible-playbook migrate.yml -e env=sandbox $(KEEP)
	@echo; echo "=== 3 of 3: the same again has nothing left to do ==="
	@$(BIN)/ansible-playbook migrate.yml -e env=sandbox $(KEEP)
	@echo; echo "Look around with .venv/bin/ansible-playbook migrate.yml -e env=sandbox; end it with make sandbox-down."

# The oddities have rows whose object is nowhere; by default a migration stops and says so.
KEEP := $(if $(SEED_ODDITIES),-e rehome_on_dangling=keep)

grants: ## give migrate and retire their rights (needs an administrator; VAULT=<password file>)
migrate: ## migrate, for real
preflight: ## say whether a migration may begin, and what it costs; reads only
plan: ## say what a migration would do
verify: ## verify what is there, without relying on earlier runs
rollback: ## roll back the rows that were rewritten; CONFIRM=<target bucket> removes the copies, too
redirect: ## redirect the old URLs to the new place
retire: ## delete what was moved (CONFIRM=<source bucket>); RESTORE=1 undeletes it

# Every verb: ENV=<environment> [INVENTORY=…] [CHECK=1] [DIFF=1] [ARGS=…].
$(VERBS): setup
	@$(BIN)/ansible-playbook playbooks/$@.yml $(if $(INVENTORY),-i $(INVENTORY)) $(if $(ENV),-e env=$(ENV)) \
	  $(if $(CONFIRM),-e confirm=$(CONFIRM) $(if $(filter rollback,$@),-e rehome_rollback_copies=remove)) \
	  $(if $(RESTORE),-e restore=true) $(if $(VAULT),--vault-password-file $(VAULT)) \
	  $(if $(CHECK),--check) $(if $(DIFF),--diff) $(ARGS)

lint: setup ## ruff, mypy, yamllint, ansible-lint, Ansible's sanity tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline --strict
	$(BIN)/python -m collection.sanity

unit: setup ## the tests without I/O
	$(BIN)/pytest tests/unit

integration: packages ## the tests on real servers
	$(BIN)/pytest $(THIRDS) tests/integration

e2e: packages ## the tests of whole playbooks
	$(BIN)/pytest $(THIRDS) tests/e2e

molecule: packages ## the migrate roles under molecule: converge, idempotence, verify
	$(BIN)/molecule test

chaos: packages ## the promises, while everything breaks: random scenarios (SCENARIOS=200, SEED=…, or one: SCENARIO='{…}')
	@CHAOS_SCENARIOS='$(or $(SCENARIOS),200)' CHAOS_SEED='$(SEED)' CHAOS_SCENARIO='$(SCENARIO)' $(BIN)/pytest tests/chaos

# The same ten scenarios each time: what fails then, the change at hand has broken.
test: lint packages ## everything: lint, unit, integration, end to end, ten scenarios of the chaos, molecule
	$(BIN)/pytest $(THIRDS)
	CHAOS_SEED=21 $(BIN)/pytest tests/chaos
	$(BIN)/molecule test

bench: bench-packages ## measure Rehome beside its peers and write docs/benchmarks.md (QUICK=1: only see that it works)
	@$(BIN)/python -m bench.all $(if $(QUICK),--quick)

bench-packages: setup $(PEERS)/.installed $(NGINX)/.installed
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=installed -e db=mariadb
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=installed -e db=postgresql

# The peers have an environment of their own.
$(PEERS)/.installed: requirements-bench.txt | $(INSTALLED)
	@echo "Fetching what Rehome is measured beside ..."
	@[ -x $(PEERS)/bin/python ] || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r requirements-bench.txt
	@touch $@

# nginx is only unpacked: installed, it would start a service.
$(NGINX)/.installed: | $(INSTALLED)
	@mkdir -p $(NGINX) && cd $(NGINX) && rm -f *.deb && \
	  { apt-get download -q $(NGINX_PACKAGES) >/dev/null 2>&1 || \
	    { $(SUDO) apt-get update -q && apt-get download -q $(NGINX_PACKAGES); }; } && \
	  for package in *.deb; do dpkg -x $$package .; done
	@touch $@

collection: setup ## build the Ansible collection rehome.rehome into build/
	@$(BIN)/python -m collection.build

docs: setup ## write anew all that is generated from roles/rehome/meta/argument_specs.yml
	@$(BIN)/python -m docs.generate

lock: setup ## write constraints.txt anew from what is installed
	$(BIN)/pip freeze --disable-pip-version-check --exclude ansible > constraints.txt
