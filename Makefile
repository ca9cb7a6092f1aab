# `make` alone lists the targets. Everything is installed into VENV; nothing of the system's Python is touched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VERBS := grants migrate preflight plan verify control discover rollback redirect retire
# They look at what a run has left.
LOOKS := report show
PLAYED := $(VERBS) $(LOOKS) demo sandbox-up sandbox-down cluster-up cluster-down packages
TARGETS := $(PLAYED) init help setup seed lint test test-short test-newest unit integration e2e molecule chaos matrix image bench \
  bench-scale bench-packages collection docs pictures lock
.PHONY: $(TARGETS)
# Targets that are named together share a sandbox and a state folder: they run in their order, whatever -j says.
.NOTPARALLEL:

PYTHON ?= python3
# The environment's VENV is another program's, and is left alone.
VENV := .venv
DB ?= mariadb
OBJECTS ?= 1000
SEED_ODDITIES ?=
ENV ?=
CLUSTER ?=

# Which targets take which variable.
TAKE_ARGS := $(PLAYED) init
TAKE_CHECK := $(PLAYED)
TAKE_CLASS := show
TAKE_CLUSTER := demo
TAKE_CONFIRM := rollback retire
TAKE_DB := demo sandbox-up
TAKE_DIFF := $(PLAYED)
TAKE_DO := control
TAKE_ENV := $(VERBS) $(LOOKS) init cluster-up cluster-down
TAKE_INVENTORY := $(VERBS) $(LOOKS) init cluster-up cluster-down
TAKE_OBJECTS := demo seed bench-scale
TAKE_PYTHON := $(TARGETS)
TAKE_QUICK := bench
TAKE_RESTORE := retire
TAKE_SCENARIO := chaos
TAKE_SCENARIOS := chaos
TAKE_SEED := chaos
TAKE_SEED_ODDITIES := demo seed
TAKE_SERVERS := matrix
TAKE_VAULT := $(VERBS) $(LOOKS) init cluster-up cluster-down
TAKE_VENV := $(TARGETS)
TAKE_WHOLE := discover
TAKE_WORKERS := cluster-up
KNOWN := $(sort $(patsubst TAKE_%,%,$(filter TAKE_%,$(.VARIABLES))))

# Text as one word of the shell. make does not expand what is in it, nor does the shell.
HASH := \#
SPECIAL := ' " ` \ $$ & | ; < > ( ) { } [ ] * ? ! ^ $(HASH)
is_special = $(filter-out 0 1,$(words $1))$(strip $(foreach character,$(SPECIAL),$(findstring $(character),$1)))
as_word = $(if $(call is_special,$1),'$(subst ','\'',$1)',$1)
quoted = $(call as_word,$(value $1))

# What make does not know it would ignore, or find out after the first target: CEHCK=1 and a bare CHECK would migrate.
GOALS := $(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))
NO_TARGET := $(filter-out $(TARGETS) $(VENV)/.installed,$(GOALS))
$(if $(NO_TARGET),$(error $(NO_TARGET): no such target. \
  A variable is set by NAME=value ($(KNOWN)); the bare make lists the targets))
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(filter-out $(KNOWN) MAKEFLAGS MAKEOVERRIDES,$(filter-out -%,$(GIVEN)))
CLOSEST := import difflib, sys; print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1))
closest = $(shell $(call quoted,PYTHON) -c '$(CLOSEST)' $(call as_word,$(firstword $1)) $(KNOWN) 2>/dev/null)
did_you_mean = $(if $1,; did you mean $1?)
$(if $(UNKNOWN),$(error $(UNKNOWN): unknown. The variables are $(KNOWN)$(call did_you_mean,$(call closest,$(UNKNOWN)))))

# One that has no effect on the target is a misunderstanding. A dry run is one of all targets, or of none.
without_effect = $(if $(filter $(TAKE_$1),$(GOALS)),,$1 has no effect on $(GOALS), but on $(TAKE_$1))
$(foreach name,$(filter $(KNOWN),$(GIVEN)),$(if $(call without_effect,$(name)),$(error $(call without_effect,$(name)))))

# What the environment holds for other programs (DIFF=vimdiff, ENV=$$HOME/.kshrc, DB=<a URL>) is not looked at, unless a
# target takes it. A dry run is meant for every target.
is_taken = $(filter $(TAKE_$1) $(if $(filter CHECK,$1),$(GOALS)),$(GOALS))

# A switch is on or off, and never on because it is not empty.
ON := 1 yes true
OFF := 0 no false
is_switch = $(if $(filter 0 1,$(words $1)),$(if $(filter-out $(ON) $(OFF),$1),,yes))
$(foreach name,CHECK DIFF QUICK RESTORE SEED_ODDITIES WHOLE,$(if $(call is_taken,$(name)),$(if $(call is_switch,$(value $(name))),,\
  $(error $(name) ($(value $(name))): is neither on ($(ON)) nor off ($(OFF), or unset)))))
on = $(filter $(ON),$(value $1))
$(if $(call on,CHECK),$(if $(filter-out $(TAKE_CHECK) help,$(GOALS)),\
  $(error CHECK: $(filter-out $(TAKE_CHECK) help,$(GOALS)) cannot be tried without being done. Leave CHECK out, or the target)))

# Names are passed to Ansible as name=value, where spaces and quotes would begin another variable.
$(foreach name,CONFIRM DB DO ENV VENV WORKERS,$(if $(call is_taken,$(name)),$(if $(call is_special,$(value $(name))),\
  $(error $(name) ($(value $(name))): is not a name))))

# A whole number, from 1 on.
DIGITS := 0 1 2 3 4 5 6 7 8 9
without = $(if $1,$(call without,$(wordlist 2,10,$1),$(subst $(firstword $1),,$2)),$2)
is_number = $(if $(filter 1,$(words $1)),$(if $(filter 0%,$1)$(call without,$(DIGITS),$1),,yes))
$(if $(call is_taken,CLUSTER),$(if $(value CLUSTER),$(if $(call is_number,$(value CLUSTER)),,\
  $(error CLUSTER ($(value CLUSTER)): is no number of workers, such as 2))))
$(if $(call is_taken,CLUSTER),$(if $(value CLUSTER),$(if $(call on,CHECK),\
  $(error CLUSTER: a dry run copies nothing, and so has no workers. Leave CLUSTER out, or CHECK))))

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The newest Ansible beside the oldest: in an environment of its own, with the Python of the next Debian.
NEWEST := .venv/newest
OF_NEWEST := VENV=$(NEWEST) PYTHON=.venv/matrix/python/usr/bin/python3.13
PEERS := .venv/peers
# Whole playbooks leave much of two cores idle: three thirds of the tests share them, each with servers of its own.
THIRDS := -n 3 --dist worksteal
# What one Ansible or one Python does otherwise than another.
SHORT := $(addprefix tests/e2e/test_,collection.py forked_modules.py grants.py migrate.py outcome.py stop.py terminal.py) \
  tests/e2e/test_where_it_runs.py \
  $(addprefix tests/integration/,db/test_connections.py s3/test_object_store.py s3/test_stream.py)
NGINX := .venv/nginx
NGINX_PACKAGES := nginx libnginx-mod-http-headers-more-filter
PGBOUNCER := .venv/pgbouncer
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# The tools that Ansible starts by name are found where it is installed.
export PATH := $(if $(filter /%,$(BIN)),,$(CURDIR)/)$(BIN):$(PATH)
export ANSIBLE_FORCE_COLOR ?= $(shell [ -t 1 ] && echo 1 || echo 0)
# Ansible wants a locale with UTF-8, which cron and containers may not have.
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif
# In a folder that others may write, Ansible reads ansible.cfg only if it is named.
$(PLAYED) init bench-packages: export ANSIBLE_CONFIG ?= $(CURDIR)/ansible.cfg
play = $(BIN)/ansible-playbook $(strip $1 $(if $(call on,CHECK),--check) $(if $(call on,DIFF),--diff) $(value ARGS))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Unpacks nothing else: the rest of that wheel belongs to an older Ansible.
AWX_COLLECTION := import sys, sysconfig, zipfile; wheel = zipfile.ZipFile(sys.argv[1]); \
  wheel.extractall(sysconfig.get_path("purelib"), \
  [name for name in wheel.namelist() if name.startswith("ansible_collections/awx/")])

setup: $(INSTALLED) ## install everything into VENV (.venv); quick when nothing changed

$(INSTALLED): requirements.txt requirements-dev.txt requirements-cluster.txt requirements-kubernetes.txt requirements-collections.txt requirements-awx.txt constraints.txt
	@$(call quoted,PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rehome needs Python 3.11 or later; $$($(call quoted,PYTHON) --version) is what PYTHON=$(call quoted,PYTHON) names." >&2; exit 1; }
	@$(call quoted,PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq python3-venv; }
	@echo "Installing into $(VENV) (a minute or so the first time) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(call quoted,PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-compile -r requirements-collections.txt
	@grep -q '^ansible_collections/awx/' $(VENV)/lib/python*/site-packages/ansible-*.dist-info/RECORD || { \
	  $(BIN)/python -m pip download -q --disable-pip-version-check --no-deps -r requirements-awx.txt -d $(VENV)/wheel && \
	  $(BIN)/python -c $(call as_word,$(AWX_COLLECTION)) $(VENV)/wheel/*.whl && rm -r $(VENV)/wheel; }
	@touch $@

packages: setup $(if $(call on,CHECK),,$(NGINX)/.installed $(PGBOUNCER)/.installed) ## install the servers that the tests start (OS packages), where they are missing
	@$(call play,playbooks/sandbox.yml -e state=installed -e db=mariadb)
	@$(call play,playbooks/sandbox.yml -e state=installed -e db=postgresql)
	@[ -x /usr/sbin/sshd ] || $(if $(call on,CHECK),echo "openssh-server would be installed",$(BIN)/ansible localhost $(if $(SUDO),--become) \
	  -m ansible.builtin.apt -a "name=openssh-server update_cache=true install_recommends=false policy_rc_d=101")
	@{ command -v ip && command -v faketime; } >/dev/null || $(if $(call on,CHECK),echo "iproute2 and faketime would be installed",{ $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends iproute2 faketime; })
	@command -v node >/dev/null || $(if $(call on,CHECK),echo "nodejs would be installed",{ $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends nodejs; })
	@command -v npm >/dev/null || $(if $(call on,CHECK),echo "npm would be installed",{ $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends npm; })
	@command -v chromium >/dev/null || $(if $(call on,CHECK),echo "chromium would be installed",{ $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends chromium; })

sandbox-up: setup ## start the sandbox: an object store and a database (DB=mariadb|postgresql|sqlite)
	@$(call play,playbooks/sandbox.yml -e state=present -e db=$(value DB))

sandbox-down: setup ## end the sandbox and remove all it made
	@$(call play,playbooks/sandbox.yml -e state=absent)

cluster-up: setup ## start scheduler and workers of a cluster (WORKERS=4; ENV=…: on the machines that cluster_hosts names)
	@$(call play,playbooks/cluster.yml $(OF_CLUSTER) $(if $(value WORKERS),-e workers=$(value WORKERS)))

cluster-down: setup ## end a cluster and remove all it made, here and on its machines
	@$(call play,playbooks/cluster.yml $(OF_CLUSTER) -e state=absent)

OF_CLUSTER = $(if $(value INVENTORY),-i $(call quoted,INVENTORY)) $(if $(value ENV),-e env=$(value ENV)) \
  $(if $(value VAULT),--vault-password-file $(call quoted,VAULT))

COMMA := ,
DIGEST = $(BIN)/python -c 'import json; print(json.load(open(".sandbox/state/summary-plan.json"))["plan_sha256"])'
SEEDED = $(BIN)/python -m sandbox.seed --reset --objects $(call quoted,OBJECTS) $(if $(call on,SEED_ODDITIES),--oddities)
# The oddities have rows whose object is nowhere; by default a migration stops and says so.
DEMO = $(call play,-i inventory $1 -e env=sandbox -e preflight_brief=true \
  $(if $(call on,SEED_ODDITIES),-e rehome_on_dangling=keep))
# Of a step that only tells, the lines that a script for sed prints; of one that fails, all.
told = out=$$(ANSIBLE_FORCE_COLOR=0 $1 2>&1) || { printf '%s\n' "$$out" >&2; exit 1; }; printf '%s\n' "$$out" | sed -n $2

seed: setup ## fill the sandbox (OBJECTS=1000, SEED_ODDITIES=1 for all that real data has)
	@$(SEEDED)

# The workers of the demo find their keys as profiles in a file, and so does the controller: no setting has any.
MOVERS = playbooks/cluster.yml -e $(call as_word,{"cluster_name": "demo"$(COMMA) "cluster_folder": "$(CURDIR)/.sandbox/cluster"$(COMMA) \
  "cluster_member_folder": "$(CURDIR)/.sandbox/mover"})
BY_MOVERS := -e @.sandbox/cluster/cluster.json -e sandbox_profiles=true
FREE_PORT = $(BIN)/python -c 'from sandbox.ports import find_free; print(*find_free(1))'
# By another name: make would run a line that has this in it in a dry run, too.
AGAIN = $(MAKE) --no-print-directory

demo: setup ## from nothing to a verified migration in the sandbox (CHECK=1: only the dry run; CLUSTER=2: by two workers)
ifneq ($(value CLUSTER),)
	@echo "A private object store and a private database ($(value DB)) are started in .sandbox/ ..."
	@$(call told,$(call play,playbooks/sandbox.yml -e state=present -e db=$(value DB)),'')
	@export AWS_SHARED_CREDENTIALS_FILE=$(call as_word,$(CURDIR)/.sandbox/aws-credentials) AWS_EC2_METADATA_DISABLED=true; \
	  away() { $(call told,$(call play,$(MOVERS) -e state=absent),''); echo "The scheduler and the workers are gone again, with their keys: leave cluster.json out of the commands above."; }; \
	  trap away EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	  echo "A scheduler and workers ($(value CLUSTER)) are started on this machine, over TLS ..."; \
	  $(call told,$(call play,$(MOVERS) -e workers=$(value CLUSTER) -e cluster_port=$$($(FREE_PORT))),''); \
	  $(AGAIN) demo CLUSTER= ARGS=$(call as_word,$(strip $(value ARGS) $(BY_MOVERS)))
else ifneq ($(call on,CHECK),)
	@$(call play,playbooks/sandbox.yml -e state=present -e db=$(value DB))
	@$(call DEMO,migrate.yml)
else
ifeq ($(findstring $(BY_MOVERS),$(value ARGS)),)
	@echo "A private object store and a private database ($(value DB)) are started in .sandbox/ ..."
	@$(call told,$(call play,playbooks/sandbox.yml -e state=present -e db=$(value DB)),'')
endif
	@echo "=== 1 of 5: what is there: images in one bucket, and rows that name them"
	@$(SEEDED)
	@echo "=== 2 of 5: the plan, which writes nothing"
	@$(call told,$(call DEMO,playbooks/plan.yml),'/: plan$(COMMA) /$(COMMA)/^recap/ { /^recap/! p }')
	@echo "=== 3 of 5: the move, of exactly this plan"
	@$(call DEMO,migrate.yml -e approved_plan=$$($(DIGEST)))
	@echo "=== 4 of 5: the proof: both buckets and the database, read again from nothing"
	@$(call told,$(call DEMO,playbooks/verify.yml),'/^outcome/ p; /^checked/ p')
	@echo "=== 5 of 5: the way back, as a dry run"
	@$(call told,$(call DEMO,playbooks/rollback.yml --check),'/^outcome/ p; /^done/ p; /^next:/$(COMMA)/ansible-playbook/ p')
	@echo
	@echo "The sandbox stays, migrated, with its report in .sandbox/state/; make sandbox-down removes it."
	@echo "On your own data: make init ENV=staging asks what moves, and then make plan ENV=staging says what a run would do."
endif

init: setup ## ask what moves, try each answer, and write the inventory of ENV (ARGS=--help: each answer as an option)
	@$(BIN)/python -m interview $(strip $(if $(value ENV),--env $(value ENV)) $(if $(value INVENTORY),--inventory $(call quoted,INVENTORY)) \
	  $(if $(value VAULT),--vault-password-file $(call quoted,VAULT)) $(value ARGS))

grants: ## give migrate and retire their rights (needs an administrator; VAULT=<password file>)
migrate: ## migrate, for real (CHECK=1: a dry run, which writes nothing)
preflight: ## say whether a migration may begin, and what it costs; reads only
plan: ## say what a migration would do
verify: ## verify what is there, without relying on earlier runs
control: ## say what runs and how far; DO=pause, DO=resume, or DO=set ARGS="-e requests=32 …" while it runs
discover: ## find every column that names these objects; reads only (WHOLE=1: all rows of all tables)
report: ## write the report of the last run again, also of one that was killed
show: ## show objects or rows of a class of the last run (CLASS=foreign, orphan, conflict …)
rollback: ## roll back the rows that were rewritten; CONFIRM=<target bucket> removes the copies, too
redirect: ## redirect the old URLs to the new place
retire: ## delete what was moved (CONFIRM=<source bucket>); RESTORE=1 undeletes it

# Every verb: ENV=<environment> [INVENTORY=…] [CHECK=1] [DIFF=1] [ARGS=…].
$(VERBS) $(LOOKS): setup
	@$(call play,playbooks/$@.yml $(if $(value INVENTORY),-i $(call quoted,INVENTORY)) $(if $(value ENV),-e env=$(value ENV)) \
	  $(if $(value CONFIRM),-e confirm=$(value CONFIRM) $(if $(filter rollback,$@),-e rehome_rollback_copies=remove)) \
	  $(if $(value DO),-e do=$(value DO)) $(if $(call on,RESTORE),-e restore=true) $(if $(call on,WHOLE),-e whole=true) $(if $(value CLASS),-e class=$(call quoted,CLASS)) $(if $(value VAULT),--vault-password-file $(call quoted,VAULT)))

lint: setup ## ruff, mypy, yamllint, ansible-lint, Ansible's sanity tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline --strict
	$(BIN)/python -m collection.sanity

# Without bytecode, every process of the tests compiles the engine anew.
unit integration e2e molecule chaos test test-short: export PYTHONDONTWRITEBYTECODE :=

unit: setup ## the tests without I/O
	$(BIN)/pytest tests/unit

integration: packages ## the tests on real servers
	$(BIN)/pytest $(THIRDS) tests/integration

e2e: packages ## the tests of whole playbooks
	$(BIN)/pytest $(THIRDS) tests/e2e

molecule: packages ## the migrate roles under molecule: converge, idempotence, verify
	$(BIN)/molecule test

chaos: packages ## the promises, while everything breaks: random scenarios (SCENARIOS=200, SEED=…, or one: SCENARIO='{…}')
	@CHAOS_SCENARIOS=$(or $(call quoted,SCENARIOS),200) CHAOS_SEED=$(call quoted,SEED) CHAOS_SCENARIO=$(call quoted,SCENARIO) \
	  $(BIN)/pytest tests/chaos

matrix: packages ## the tests on servers of other kinds and versions, into docs/servers.md (SERVERS="mysql-9.7 ceph": only these)
	@command -v npm >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends npm; }
	@$(BIN)/python -m matrix.all $(foreach server,$(value SERVERS),$(call as_word,$(server)))

image: packages ## build both images on Debian's Python, and migrate with containers of them (needs root)
	@{ command -v buildah && command -v runc && command -v mmdebstrap; } >/dev/null || { $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -yq --no-install-recommends buildah runc mmdebstrap; }
	$(BIN)/pytest tests/image

# The same ten scenarios each time: what fails then, the change at hand has broken.
test: lint packages ## everything: lint, unit, integration, end to end, ten scenarios of the chaos, molecule
	$(BIN)/pytest $(THIRDS)
	CHAOS_SEED=21 $(BIN)/pytest tests/chaos
	$(BIN)/molecule test

test-short: lint unit packages ## lint, unit, molecule, and those tests on real servers that tell one Ansible or Python from another
	$(BIN)/pytest $(THIRDS) $(SHORT)
	$(BIN)/molecule test

test-newest: setup ## test-short with the newest Ansible, on a Python of the next Debian that is only unpacked
	$(BIN)/python -m matrix.python
	$(MAKE) test-short $(OF_NEWEST)

bench: bench-packages ## measure Rehome beside its peers and write docs/benchmarks.md (QUICK=1: only see that it works)
	@$(BIN)/python -m bench.all $(if $(call on,QUICK),--quick)

# The size of a demo is none here.
SCALE = $(if $(filter default file,$(origin OBJECTS)),10000000,$(call quoted,OBJECTS))

bench-scale: bench-packages ## measure ten million objects and rows and write docs/scale.md (OBJECTS=10000000)
	@$(BIN)/python -m bench.scale plan $(SCALE)
	@$(BIN)/python -m bench.scale plan $(SCALE) --every 10
	@$(BIN)/python -m bench.scale copy $(SCALE)

bench-packages: setup $(PEERS)/.installed $(NGINX)/.installed
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=installed -e db=mariadb
	@$(BIN)/ansible-playbook playbooks/sandbox.yml -e state=installed -e db=postgresql

# The peers have an environment of their own.
$(PEERS)/.installed: requirements-bench.txt | $(INSTALLED)
	@echo "Fetching what Rehome is measured beside ..."
	@[ -x $(PEERS)/bin/python ] || $(call quoted,PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r requirements-bench.txt
	@touch $@

# nginx is only unpacked: installed, it would start a service.
$(NGINX)/.installed: | $(INSTALLED)
	@mkdir -p $(NGINX) && cd $(NGINX) && rm -f *.deb && \
	  { apt-get download -q $(NGINX_PACKAGES) >/dev/null 2>&1 || \
	    { $(SUDO) apt-get update -q && apt-get download -q $(NGINX_PACKAGES); }; } && \
	  for package in *.deb; do dpkg -x $$package .; done
	@touch $@

# PgBouncer is only unpacked, too, with the libraries that this machine lacks.
$(PGBOUNCER)/.installed: | $(INSTALLED)
	@mkdir -p $(PGBOUNCER)/archives/partial && cd $(PGBOUNCER) && fetch() { $(SUDO) apt-get install -yq --reinstall \
	    --no-install-recommends --download-only -o "Dir::Cache::archives=$$PWD/archives" pgbouncer >/dev/null 2>&1; } && \
	  { fetch || { $(SUDO) apt-get update -q && fetch; }; } && \
	  for package in archives/*.deb; do dpkg -x "$$package" .; done
	@touch $@

collection: setup ## build the Ansible collection rehome.rehome into build/
	@$(BIN)/python -m collection.build

docs: setup ## write anew all that is generated from roles/rehome/meta/argument_specs.yml
	@$(BIN)/python -m docs.generate

pictures: setup ## take the pictures of README.md anew, of real runs in a private sandbox
	@$(BIN)/python -m pictures

# Python 3.12 is where ansible-core's releases part; what both have alike has no marker.
lock: setup ## write constraints.txt anew from what is installed, for both: .venv and test-newest's environment
	$(BIN)/python -m matrix.python
	$(MAKE) setup $(OF_NEWEST)
	for venv in $(VENV) $(NEWEST); do \
	  $$venv/bin/pip freeze --disable-pip-version-check --exclude ansible | LC_ALL=C sort > $$venv/frozen.txt; done
	old=$(VENV)/frozen.txt new=$(NEWEST)/frozen.txt; export LC_ALL=C; \
	  { comm -12 $$old $$new; comm -23 $$old $$new | sed 's/$$/ ; python_version < "3.12"/'; \
	    comm -13 $$old $$new | sed 's/$$/ ; python_version >= "3.12"/'; } | sort -f -t= -k1,1 > constraints.txt
