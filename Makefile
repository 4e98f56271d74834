# Everything runs in its own virtual environment, .venv, made on first use.
#
#   make demo    draw synthetic people, train, evaluate, write runs/demo/report.html, fill runs/demo/people.gallery
#   make test    run the tests
#   make lint    ruff and mypy
#
# PyTorch's default package for Linux brings gigabytes of CUDA. Without a GPU, name PyTorch's CPU index once:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The CPU build comes first, from PyTorch's own index; everything else then finds it installed.
TORCH = 'torch>=2.13,<2.14'
INSTALL_TORCH = $(if $(TORCH_INDEX),$(PIP) $(TORCH) --index-url $(TORCH_INDEX),true)

.PHONY: demo test slow lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/resight demo --out runs/demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Resight needs Python 3.11 or newer; $(PYTHON) is older or missing. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No virtual environment could be made. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing Resight into $(VENV) (PyTorch is a large package; this takes a minute or more)"
	@$(INSTALL_TORCH)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing Resight and its development tools into $(VENV)"
	@$(INSTALL_TORCH)
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
