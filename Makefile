# make demo    set everything up, run the main job, write demo/report.html and demo/rejector.json
# make test    set everything up, run the whole test suite
# make picture draw the picture of the README from the demo's logits
#
# Where packages come from is the installer's (uv's) to know, by its own variables:
#   UV_TORCH_BACKEND=cpu make demo      a PyTorch without CUDA on Linux (saves gigabytes)
#   UV_DEFAULT_INDEX=URL, UV_FIND_LINKS=DIR    another source of packages
# PYTHON=python3.12 make demo           another interpreter, 3.11 or newer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: demo test picture lint format clean

demo: $(VENV)/.train
	$(BIN)/recuse demo --out demo

test: $(VENV)/.dev lint
	$(BIN)/pytest -n 2

picture: demo
	$(BIN)/python docs/picture.py demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check src
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"recuse needs Python 3.11 or newer, got {v[0]}.{v[1]}: try PYTHON=python3.12 make ..." if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.train: $(VENV)/.uv pyproject.toml constraints.txt
	$(UV) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.uv pyproject.toml constraints.txt
	$(UV) --editable '.[dev]'
	@touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
