# Two commands for a newcomer: `make run` and `make test`. Both create .venv themselves and may be repeated.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-long test-all test-slow test-models lint types fix docs wheel setup clean extension vsix test-extension test-vscode playground editors test-editors screenshots latency

run: $(READY)  ## complete the shipped example with the bundled model, or MODEL=file.gguf
	$(BIN)/lacuna complete examples/temperature.py $(if $(MODEL),--model $(MODEL))

WORKERS ?= 2

# Each worker has one core: threads of several that wait for each other would take ten times as long.
test: $(READY) lint types  ## what must hold before a commit, in five minutes: every package, a path of each face
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not long and not slow and not models"

test-long: $(READY)  ## what starts servers, editors and browsers, one after the other
	$(BIN)/python -m pytest -m "long and not slow"

test-all: test test-slow test-long  ## everything

test-slow: $(READY)  ## what takes minutes: a bundle on a machine without a network, a cluster that loses a node
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray]"
	$(BIN)/python -m pytest -m slow

# FOLDER is fetched into once, 580 MB; STRINGS are compared with llama.cpp's tokens, for each model.
FOLDER ?= .models
STRINGS ?= 100000

test-models: $(READY)  ## what needs real models, and llama.cpp beside them: FOLDER=folder-with-GGUF-files
	$(BIN)/python -m pip install --quiet --constraint constraints.txt xllamacpp
	$(BIN)/python tests/models/fetch.py $(FOLDER)
	LACUNA_MODELS=$(abspath $(FOLDER)) LACUNA_STRINGS=$(STRINGS) $(BIN)/python -m pytest -m models

extension: vscode-extension/dist/extension.js  ## build the extension for VS Code

vscode-extension/dist/extension.js: vscode-extension/package-lock.json vscode-extension/package.json $(wildcard vscode-extension/src/*)
	cd vscode-extension && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cd vscode-extension && npm run check && npm run build

test-extension: vscode-extension/dist/extension.js  ## its unit tests
	cd vscode-extension && npm test

# Where your copy of the repository is: URL=https://... puts it into the package's manifest.
ADDRESSES = $(if $(filter command,$(origin URL)),bare=$$(mktemp -d) && cp -p package.json $$bare && \
	trap 'cp -p $$bare/package.json . && rm -r $$bare' EXIT && \
	npm pkg set homepage=$(URL) bugs.url=$(URL)/issues repository.type=git repository.url=$(URL) &&)

vsix: $(READY) extension  ## package it, with the server's wheel inside; URL=https://... names where your copy is
	rm -rf vscode-extension/wheels
	$(BIN)/python -m hatchling build -t wheel -d vscode-extension/wheels > /dev/null
	cd vscode-extension && $(ADDRESSES) npx vsce package --no-dependencies --allow-missing-repository \
		--no-rewrite-relative-links --out .
	$(BIN)/python vscode-extension/check_vsix.py $(if $(ADDRESSES),$(URL))

test-vscode: editors test-extension vsix  ## drive it in a real VS Code
	$(BIN)/python -m pytest tests/editors/test_vscode.py tests/editors/test_extension.py

editors: $(READY) extension  ## put real editors where tests find them (Debian; needs root)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group editors
	bash tests/editors/install.sh

test-editors: editors  ## drive them
	$(BIN)/python -m pytest tests/editors

screenshots: editors vsix  ## take the pictures of the README
	$(BIN)/python tests/editors/screenshots.py
	$(BIN)/python tests/editors/vscode_pictures.py
	$(BIN)/python tests/server/http/screenshots.py

latency: editors vsix  ## from a key to grey text in a real VS Code, with MODEL=file.gguf or the bundled model
	MODEL=$(MODEL) $(BIN)/python tests/editors/vscode_latency.py

playground:  ## build the page of `lacuna serve` into the package
	cd server/playground && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cd server/playground && npm run check && npm run build

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy
	$(BIN)/pyright

fix: $(READY)  ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write the generated tables into docs/ and docs/zh-CN/, and docs/cli.md
	$(BIN)/python -m lacuna_server.docs_tables $(foreach page,settings models reasons,docs/$(page).md docs/zh-CN/$(page).md)
	$(BIN)/python -m lacuna_server.manifest vscode-extension
	$(BIN)/python -m lacuna_server.reference docs/cli.md

wheel: $(READY)
	$(BIN)/python -m build --wheel

setup: $(READY)

# torch goes first and pinned: without the pin its dependants pull a build of several gigabytes.
$(READY): pyproject.toml constraints.txt $(wildcard inference/lacuna_inference/models/native*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
