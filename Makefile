# make demo: install, draw a data set, train, test, print a table and leave a picture
# make test: the tests that take seconds; make test-all: all of them
# make lint: ruff and codespell; make format: mend what they can; make web: the page
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
STACK := onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 onedl-mmsegmentation==1.4.2
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
WEB := $(VENV)/.web

# PyTorch's threads spin while they wait; on few cores they then take the time of the
# data loader's processes
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help install install-web demo web test test-all lint format clean

help:
	@sed -n '1,/^[^#]/s/^# //p' Makefile

install: $(STAMP)

# PyTorch first and with its version given: a range could bring another build. mmcv is
# built without its compiled ops, which nothing here needs, in seconds.
$(STAMP): setup.py requirements/onedl.txt requirements/demo.txt requirements/tests.txt requirements/runtime.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "mmssp needs Python 3.10 or newer, $(PYTHON) is older: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check $(TORCH)
	$(PY) -m pip install -q --disable-pip-version-check $(STACK) -e '.[onedl,demo,tests]'
	@touch $@

# what the page needs, and what its tests in a browser need beside Chromium
install-web: $(WEB)

$(WEB): $(STAMP) requirements/web.txt
	$(PY) -m pip install -q --disable-pip-version-check -r requirements/web.txt selenium==4.51.0
	@touch $@

web: $(WEB)
	$(PY) demo/web_demo.py

demo: $(STAMP)
	$(PY) demo/demo.py --out demo_output

test: $(STAMP)
	$(PY) -m pytest -m 'not slow'

# what needs the page's packages or Chromium skips without them: make install-web
test-all: $(STAMP)
	$(PY) -m pytest

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) .venv-official demo_output build dist docs/_build docs/reference/generated \
	    *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

.PHONY: types coverage

types: $(STAMP)
	$(PY) -m mypy

# lines and branches, those run by tools and workers in processes of their own included
coverage: $(STAMP)
	$(PY) -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

# what the pages are built with
DOCS := $(VENV)/.docs

$(DOCS): $(STAMP) requirements/docs.txt
	$(PY) -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@touch $@

# every warning is an error; open docs/_build/html/index.html
.PHONY: docs
docs: $(DOCS)
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

# packaging, and the other stack
# make wheel: dist/mmssp-….whl, with configs, tools and the model index in mmssp/.mim
# make test-official: the suite on mmcv 2.1.0, mmengine 0.10.7, mmsegmentation 1.2.2;
#     make test-official TESTS='-m "not slow"' passes options to pytest
.PHONY: wheel install-official test-official

wheel:
	$(PYTHON) -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .

OFFICIAL := .venv-official
OFFICIAL_PY := $(OFFICIAL)/bin/python
OFFICIAL_STAMP := $(OFFICIAL)/.installed
OFFICIAL_STACK := mmengine==0.10.7 mmsegmentation==1.2.2
# wheels of mmcv 2.1.0 made before; pip takes one if it is of this Python
MMCV_WHEELS ?= ../shared/wheels
TESTS ?=

install-official: $(OFFICIAL_STAMP)

# mmcv 2.1.0 needs its compiled ops here (mmsegmentation 1.2.2 imports them) and is
# published as source alone. A wheel that was made against another PyTorch does not
# import, so that decides between taking one and compiling.
$(OFFICIAL_STAMP): setup.py requirements/mim.txt requirements/demo.txt requirements/tests.txt requirements/runtime.txt Makefile
	$(PYTHON) -m venv $(OFFICIAL)
	$(OFFICIAL_PY) -m pip install -q --disable-pip-version-check $(TORCH) 'setuptools>=77.0.3,<82' wheel
	$(OFFICIAL_PY) -m pip install -q --disable-pip-version-check mmengine==0.10.7
	$(OFFICIAL_PY) -c 'import mmcv.ops' 2>/dev/null || { \
	    $(OFFICIAL_PY) -m pip install -q --disable-pip-version-check --no-deps --no-index \
	        --force-reinstall --find-links $(MMCV_WHEELS) mmcv==2.1.0 2>/dev/null && \
	    $(OFFICIAL_PY) -c 'import mmcv.ops'; } 2>/dev/null || { \
	    echo 'no wheel of mmcv 2.1.0 for this Python and PyTorch in $(MMCV_WHEELS): compiling, about 12 minutes on 2 cores'; \
	    $(OFFICIAL_PY) -m pip install -q --disable-pip-version-check ninja psutil && \
	    MMCV_WITH_OPS=1 $(OFFICIAL_PY) -m pip install --disable-pip-version-check \
	        --no-build-isolation --no-binary mmcv --force-reinstall --no-deps mmcv==2.1.0; }
	$(OFFICIAL_PY) -m pip install -q --disable-pip-version-check $(OFFICIAL_STACK) -e '.[mim,demo,tests]'
	$(OFFICIAL_PY) -c 'import mmcv.ops, mmssp'
	@touch $@

test-official: $(OFFICIAL_STAMP)
	$(OFFICIAL_PY) -m pytest $(TESTS)

# the wall against bad input with as many inputs a test as there is time for
MMSSP_FUZZ ?= 20000
.PHONY: fuzz
fuzz: $(STAMP)
	MMSSP_FUZZ=$(MMSSP_FUZZ) $(PY) -m pytest tests/test_wall
