# Needs Python 3.11 or newer, git and make. Everything else goes into .venv.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed

# What `make bench` measures beside ours, and ours too: here old versions of what we need may come with them.
PEERS := .venv-peers

# uv is quick but knows nothing of pip's settings; what it cannot find, pip may.
UV = $(BIN)/uv pip install -q --compile-bytecode $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"}
INTO_PEERS = $(UV) --python $(PEERS)/bin/python -e $(1)
INSTALL = $(UV) --python $(BIN)/python $(1) || $(BIN)/python -m pip install $(1)

# The modules that users and authors of algorithms meet.
DOCUMENTED := workspace runners schemas library library.entries library.entry library.bundles library.folders_in_step library.bundle algorithms.algorithm algorithms.algorithms algorithms.parameters \
	execution.run execution.runs batch.template batch.templates batch.record batch.report pipelines pipelines.node pipelines.pipeline pipelines.pipelines sessions.session sessions.sessions notebook.viewer catalog storage models settings errors

# Where this is set nothing would ever be compiled, and every kernel start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo lab test bench check docs system clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(INSTALLED)  ## Deploy the example algorithms, run them on real images, write demo/index.html
	$(BIN)/workbench demo

lab: $(INSTALLED)  ## Open JupyterLab on the quickstart notebook
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/workbench lab

test: $(INSTALLED) system  ## Run all tests; what cannot run here is skipped by name
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

bench: $(PEERS)/installed  ## Measure against the limits and the peers, which get an environment of their own
	for topic in tests/benchmarks/bench_*.py; do $(PEERS)/bin/python $$topic; done

check: $(INSTALLED)  ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## Write the guide and the API reference to build/docs
	@mkdir -p build/docs
	@$(call INSTALL,'pdoc>=15')
	$(BIN)/python -W ignore -m pdoc --docformat numpy --output-directory build/docs/api workbench $(DOCUMENTED:%=workbench.%)
	for name in README ARCHITECTURE CHANGELOG; do { \
		echo '<!doctype html><meta charset="utf-8"><title>'$$name'</title>'; \
		echo '<style>body { max-width: 52em; margin: 2em auto; font-family: sans-serif; line-height: 1.5 }</style>'; \
		$(BIN)/python -m mistune -p table -f $$name.md | sed 's/"\([A-Z]*\)\.md"/"\1.html"/g'; \
	} > build/docs/$$name.html; done
	$(BIN)/jupyter nbconvert --log-level WARN --to html --output-dir build/docs notebooks/*.ipynb
	@echo "Open build/docs/README.html and build/docs/api/index.html"

clean:  ## Remove the virtual environments and everything built
	rm -rf .venv $(PEERS) build dist demo

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer not found. Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv || true
	$(call INSTALL,-e '.[dev]')
	@touch $@

# The extra `peers` at once; should it not go together somewhere, what does of it, and the rest is left out by name.
$(PEERS)/installed: $(INSTALLED) pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(call INTO_PEERS,'.[peers]') || { $(call INTO_PEERS,.) && \
		$(BIN)/python -c 'import tomllib; \
			print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["peers"], sep="\n")' \
		| while read -r peer; do $(call INTO_PEERS,. "$$peer") || echo "Left out: $$peer"; done; }
	@touch $@

# Browser and database are not Python packages: installed where that is possible, else their tests are skipped by name.
system:
	@missing=; \
	{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || missing="$$missing chromium"; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } \
		|| echo "Could not install:$$missing. Their tests are skipped by name."; \
	else echo "Not installed:$$missing. Their tests are skipped by name."; fi
