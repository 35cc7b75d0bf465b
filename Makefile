# make demo: install, draw a data set, train, test, print a table and leave a picture
# make web: the page
#
# make test: the tests that take seconds        make lint: ruff and codespell
# make test-all: all of them                    make types: mypy, strict
# make coverage: lines and branches             make format: mend what ruff can
# make test-official: on the official stack     make docs: docs/_build/html/index.html
# make wall: all broken inputs; fuzz: new ones  make wheel: dist/mmssp-….whl
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
STACK := onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 onedl-mmsegmentation==1.4.2
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
WEB := $(VENV)/.web
DOCS := $(VENV)/.docs
PIP_INSTALL := -m pip install -q --disable-pip-version-check
# options of pytest, e.g. make test TESTS='-x tests/test_models'
TESTS ?=
# processes that share the tests, a core each; WORKERS=0 runs them in pytest's own
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist worksteal --durations=15

# PyTorch's threads spin while they wait; on few cores they then take the time of the
# data loader's processes
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help install install-web install-docs install-official demo web test test-all coverage wall fuzz \
	test-official lint types format docs wheel clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

install: $(STAMP)

# PyTorch first, so that the build can be chosen: TORCH='torch==2.13.0 --index-url …'.
# mmcv is built without its compiled ops, which nothing here needs, in seconds.
$(STAMP): setup.py requirements/onedl.txt requirements/demo.txt requirements/lite.txt requirements/refine.txt requirements/transformers.txt requirements/lora.txt requirements/tests.txt requirements/runtime.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "mmssp needs Python 3.10 or newer, $(PYTHON) is older: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) $(PIP_INSTALL) $(TORCH)
	$(PY) $(PIP_INSTALL) $(STACK) -e '.[onedl,demo,lite,refine,transformers,lora,tests]'
	@touch $@

# what the page needs, and what its tests in a browser need beside Chromium
install-web: $(WEB)

$(WEB): $(STAMP) requirements/web.txt
	$(PY) $(PIP_INSTALL) -r requirements/web.txt selenium==4.51.0
	@touch $@

# what the pages of the documentation are built with
install-docs: $(DOCS)

$(DOCS): $(STAMP) requirements/docs.txt
	$(PY) $(PIP_INSTALL) -r requirements/docs.txt
	@touch $@

demo: $(STAMP)
	$(PY) demo/demo.py --out demo_output

web: $(WEB)
	$(PY) demo/web_demo.py

test: $(STAMP)
	$(PY) $(PYTEST) -m 'not slow' $(TESTS)

# those that need the page's packages, Sphinx or Chromium skip without them
test-all: $(STAMP)
	$(PY) $(PYTEST) $(TESTS)

# by the quick tests, processes that they start included; watching makes them half as fast
coverage: $(STAMP)
	$(PY) $(PYTEST) -m 'not slow' --cov --cov-report=term:skip-covered --cov-fail-under=90 \
	    $(TESTS)

# the wall against bad input: all inputs, of which the other targets try a sixth
wall: $(STAMP)
	MMSSP_WALL=1 $(PY) $(PYTEST) tests/test_wall $(TESTS)

# and new ones, many for each test; MMSSP_FUZZ=20000 takes hours
MMSSP_FUZZ ?= 2000
fuzz: $(STAMP)
	MMSSP_FUZZ=$(MMSSP_FUZZ) $(PY) $(PYTEST) tests/test_wall $(TESTS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib

types: $(STAMP)
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# every warning is an error
docs: $(DOCS)
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html

# with configs, tools and the model index in mmssp/.mim
wheel:
	$(PYTHON) -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .

# the official stack: mmcv 2.1.0, mmengine 0.10.7, mmsegmentation 1.2.2
OFFICIAL := .venv-official
OFFICIAL_PY := $(OFFICIAL)/bin/python
OFFICIAL_STAMP := $(OFFICIAL)/.installed
OFFICIAL_STACK := mmengine==0.10.7 mmsegmentation==1.2.2
# wheels of mmcv 2.1.0 made before; pip takes one if it is of this Python
MMCV_WHEELS ?= ../shared/wheels

install-official: $(OFFICIAL_STAMP)

# mmcv 2.1.0 needs its compiled ops here (mmsegmentation 1.2.2 imports them) and is
# published as source alone. A wheel that was made against another PyTorch does not
# import, so that decides between taking one and compiling.
$(OFFICIAL_STAMP): setup.py requirements/mim.txt requirements/demo.txt requirements/lite.txt requirements/refine.txt requirements/tests.txt requirements/runtime.txt Makefile
	$(PYTHON) -m venv $(OFFICIAL)
	$(OFFICIAL_PY) $(PIP_INSTALL) $(TORCH)
	$(OFFICIAL_PY) $(PIP_INSTALL) 'setuptools>=77.0.3,<82' wheel
	$(OFFICIAL_PY) $(PIP_INSTALL) mmengine==0.10.7
	$(OFFICIAL_PY) -c 'import mmcv.ops' 2>/dev/null || { \
	    $(OFFICIAL_PY) $(PIP_INSTALL) --no-deps --no-index \
	        --force-reinstall --find-links $(MMCV_WHEELS) mmcv==2.1.0 2>/dev/null && \
	    $(OFFICIAL_PY) -c 'import mmcv.ops'; } 2>/dev/null || { \
	    echo 'no wheel of mmcv 2.1.0 for this Python and PyTorch in $(MMCV_WHEELS): compiling, about 12 minutes on 2 cores'; \
	    $(OFFICIAL_PY) $(PIP_INSTALL) ninja psutil && \
	    MMCV_WITH_OPS=1 $(OFFICIAL_PY) -m pip install --disable-pip-version-check \
	        --no-build-isolation --no-binary mmcv --force-reinstall --no-deps mmcv==2.1.0; }
	$(OFFICIAL_PY) $(PIP_INSTALL) $(OFFICIAL_STACK) -e '.[mim,demo,tests]'
	$(OFFICIAL_PY) -c 'import mmcv.ops, mmssp'
	@touch $@

test-official: $(OFFICIAL_STAMP)
	$(OFFICIAL_PY) $(PYTEST) $(TESTS)

clean:
	rm -rf $(VENV) $(OFFICIAL) demo_output build dist docs/_build docs/reference/generated \
	    *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
