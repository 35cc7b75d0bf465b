# make demo: install, draw a data set, train, test, print a table and leave a picture
# make test: the test suite; make lint: ruff and codespell; make web: the page
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

.PHONY: help install install-web demo web test lint format clean

help:
	@sed -n '1,2s/^# //p' Makefile

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

# the wall against bad input with as many inputs a test as there is time for
MMSSP_FUZZ ?= 20000
.PHONY: fuzz
fuzz: $(STAMP)
	MMSSP_FUZZ=$(MMSSP_FUZZ) $(PY) -m pytest tests/test_wall
