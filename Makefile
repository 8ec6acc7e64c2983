# make demo    set everything up, run the main job, write demo/report.html and demo/rejector.json
# make check   lint, types, layers and the quick tests: no simulations, no browser; under 3 minutes
# make test    set everything up, run the whole test suite
# make coverage    the whole test suite, with the lines that no test runs
# make slow    write tests/slow.txt, the tests that make check leaves out, from a timed make test
# make test-integrations    test with trainers and schedulers of others, in its own environment
# make test-vision    test recuse logits and the vision models with timm, in its own environment
# make test-browser    open the report in a headless Chromium, which it installs where it may
# make test-large    read a file of 2 GB in 0.25 GB of memory
# make bench    measure the curves beside their real peers, in an environment of its own
# make bench-selectors    thresholds beside zugzwang's, MAPIE's and Geifman's, in the same environment
# make bench-calls    the calls that users make beside those of peers, in the same environment
# make docs    build the documentation as a site into build/site, in an environment of its own;
#              a broken link or a public name without its place is an error
# make example    make the outputs that recuse.datasets ships again, from the photographs and weights
#              in RECUSE_DATA
# make picture draw the pictures of the README and of docs/which-smoothing.md; with the logits of
#              benchmarks/zoo.py in ZOO also those of docs/appendix.md
# make screens    photograph the first screens of five reports, wide and on a phone
#
# Where packages come from is the installer's (uv's) to know, by its own variables:
#   UV_TORCH_BACKEND=cpu make demo      a PyTorch without CUDA on Linux (saves gigabytes)
#   UV_DEFAULT_INDEX=URL, UV_FIND_LINKS=DIR    another source of packages
# PYTHON=python3.12 make demo           another interpreter, 3.11 or newer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt
INTEGRATIONS := .venv-integrations
VISION := .venv-vision
BROWSER := .venv-browser
PEERS := .venv-peers
DOCS := .venv-docs
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# The tests start hundreds of processes: each would compile PyTorch's source again.
unexport PYTHONDONTWRITEBYTECODE

# As many predictions as fit into 24 GB; SIZES=50000,1000000 make bench is quicker.
SIZES ?= 50000,1000000,10000000,100000000

# What python -m benchmarks.zoo --data DATA --out $(ZOO) writes.
ZOO ?= zoo

# Real data, which are not in the repository; the tests look there, too.
RECUSE_DATA ?= ../shared/data

.PHONY: demo check test coverage slow test-integrations test-vision test-browser test-large bench bench-selectors bench-calls docs example picture lint format clean

demo: $(VENV)/.train
	$(BIN)/recuse demo --out demo

check: $(VENV)/.dev lint
	$(BIN)/pytest -q -n 2 -m 'not slow and not validity and not large'

test: $(VENV)/.dev lint
	$(BIN)/pytest -n 2

coverage: $(VENV)/.dev
	$(BIN)/pytest -n 2 --cov --cov-report=term --cov-report=html:build/coverage

slow: $(VENV)/.dev
	rm -f build/times.txt; mkdir -p build
	RECUSE_TIMES=$(CURDIR)/build/times.txt $(BIN)/pytest -n 2
	$(BIN)/python tests/slow.py build/times.txt

test-integrations: $(INTEGRATIONS)/.ready
	$(INTEGRATIONS)/bin/pytest tests/integrations docs/how-to

test-vision: $(VISION)/.ready
	$(VISION)/bin/pytest tests/vision docs/how-to/saved-logits.md

test-browser: $(BROWSER)/.ready
	chromium=$$(tests/browser/chromium.sh) && CHROMIUM=$$chromium $(BROWSER)/bin/pytest tests/browser

test-large: $(VENV)/.dev
	$(BIN)/pytest -m large tests/test_io_large.py

bench: $(PEERS)/.ready
	$(PEERS)/bin/pytest -p no:cacheprovider tests/test_conventions.py
	$(PEERS)/bin/python -m benchmarks.curves --sizes $(SIZES)
	$(PEERS)/bin/python -m benchmarks.sketch
	$(PEERS)/bin/python -m benchmarks.intervals

bench-selectors: $(PEERS)/.ready
	$(PEERS)/bin/pytest -p no:cacheprovider tests/test_bench_selectors.py
	$(PEERS)/bin/python -m benchmarks.selectors --draws 100 --sizes 100,1000,10000 \
	    $(if $(wildcard $(ZOO)),--zoo $(ZOO))

bench-calls: $(PEERS)/.ready
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m benchmarks.calls

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build

example: $(if $(wildcard $(RECUSE_DATA)/imagenette-val),$(VISION)/.ready)
	@if test -d $(RECUSE_DATA)/imagenette-val; \
	then $(VISION)/bin/python -m benchmarks.example $(RECUSE_DATA); \
	else echo "make example: skipped, no imagenette-val in RECUSE_DATA=$(RECUSE_DATA)"; fi

picture: demo $(VENV)/.dev
	$(BIN)/python docs/picture_network.py
	test ! -d $(INTEGRATIONS) || $(INTEGRATIONS)/bin/python docs/picture_examples.py
	$(BIN)/python docs/picture.py demo
	$(BIN)/python docs/picture_smoothing.py
	$(BIN)/python docs/picture_templates.py
	if test -d $(ZOO); then $(BIN)/python docs/picture_appendix.py $(ZOO); fi

screens: demo $(BROWSER)/.ready
	chromium=$$(tests/browser/chromium.sh) && CHROMIUM=$$chromium $(BROWSER)/bin/python docs/screens.py demo

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
	$(UV) --editable '.[fast,train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.uv pyproject.toml constraints.txt
	$(UV) --editable '.[dev]'
	@touch $@ $(VENV)/.train

$(INTEGRATIONS)/.ready: $(VENV)/.uv pyproject.toml constraints.txt tests/integrations/overrides.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(INTEGRATIONS)
	$(BIN)/uv pip install --quiet --python $(INTEGRATIONS)/bin/python \
	    --constraints constraints.txt --overrides tests/integrations/overrides.txt \
	    --editable '.[dev,transformers,fastai,dask]' skorch fastapi uvicorn xgboost-cpu lightgbm
	@touch $@

# The torchvision of the package index does not fit a PyTorch without CUDA: the stub mends that.
$(VISION)/.ready: $(VENV)/.uv pyproject.toml constraints.txt tests/vision/torchvision_stub.py
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VISION)
	$(BIN)/uv pip install --quiet --python $(VISION)/bin/python --constraints constraints.txt \
	    --editable '.[dev,vision]'
	cp tests/vision/torchvision_stub.py $(VISION)/lib/python3*/site-packages
	cd $(VISION)/lib/python3*/site-packages && echo 'import torchvision_stub' > torchvision_stub.pth
	@touch $@

$(BROWSER)/.ready: $(VENV)/.uv pyproject.toml constraints.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BROWSER)
	$(BIN)/uv pip install --quiet --python $(BROWSER)/bin/python --constraints constraints.txt \
	    --editable '.[plots,report]' playwright pytest hypothesis
	@touch $@

$(PEERS)/.ready: $(VENV)/.uv pyproject.toml constraints.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --constraints constraints.txt \
	    --editable '.[dev]' torch-uncertainty timm torchvision netcal relplot \
	    mapie==1.6.0 zugzwang==1.1.0
	@touch $@

$(DOCS)/.ready: $(VENV)/.uv pyproject.toml constraints.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DOCS)
	$(BIN)/uv pip install --quiet --python $(DOCS)/bin/python --constraints constraints.txt \
	    --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(INTEGRATIONS) $(VISION) $(BROWSER) $(PEERS) $(DOCS) demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
