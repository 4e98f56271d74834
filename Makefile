# Everything runs in a virtual environment of its own, .venv, which is made on first use.
#
#   make demo    draw synthetic people, train, evaluate, write runs/demo/report.html, fill runs/demo/people.gallery
#   make test    run the tests
#   make lint    ruff and mypy
#   make docs    build the documentation's site: site/index.html
#
# Another Python: make demo PYTHON=python3.12. Another index for PyTorch: make demo TORCH_INDEX=https://...

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test slow lint format docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/resight demo --train --out runs/demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow --timeout 0

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --strict fails on a link or an anchor that does not exist.
docs: $(VENV)/.installed-dev
	$(BIN)/python scripts/docs_pages.py
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf $(VENV) build dist site docs/generated

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Resight needs Python 3.11 or newer; $(PYTHON) is older or missing. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No virtual environment could be made. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

# PyTorch comes first; everything else then finds it installed.
$(VENV)/.torch: scripts/install_torch.py | $(BIN)/python
	@$(BIN)/python $<
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	@echo "Installing Resight into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	@echo "Installing Resight and its development tools into $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
