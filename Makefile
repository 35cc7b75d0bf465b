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
	rm -rf $(VENV) demo_output build *.egg-info .pytest_cache .ruff_cache .hypothesis

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
