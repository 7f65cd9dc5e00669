# Every command in one place: `make help` lists them, and CONTRIBUTING shows each as a plain command.
# All paths are relative and quoted, so that a folder with a space in its name does no harm.

.DEFAULT_GOAL := help
.PHONY: help venv story systems fashion reproduce test test-colab test-units test-story test-systems notebooks figures readme report lint format lock clean

# Variables that the commands take: make story DATA=path/to/competition SCALE=full SEED=1, make venv PYTHON=python3.12;
# EPOCHS=3 shortens every training, HOURS=2.5 ends `reproduce` then,
# IMAGE_SIZE="H W" brings a folder's images of mixed sizes to one height and width
PYTHON ?=
DATA ?=
IMAGE_SIZE ?=
SCALE ?=
EPOCHS ?=
HOURS ?=
SEED ?=

PIP = -m pip --disable-pip-version-check
export TF_CPP_MIN_LOG_LEVEL ?= 3

# $(call create,FOLDER): a virtual environment in FOLDER, made by the first Python that can, or a word on what to install.
# An environment that stands there and works is kept, so that an interrupted installation goes on where it was.
define create
@set -- $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); \
if $(1)/bin/python -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then exit 0; fi; \
tried=""; \
for python in "$$@"; do \
	found=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || \
		{ tried="$$tried  $$python: not there\n"; continue; }; \
	case "$$found" in \
		3.11|3.12|3.13) ;; \
		*) tried="$$tried  $$python: is Python $$found\n"; continue;; \
	esac; \
	"$$python" -c 'import venv, ensurepip' 2>/dev/null || \
		{ tried="$$tried  $$python: Python $$found without venv (on Debian and Ubuntu: sudo apt install python$$found-venv)\n"; continue; }; \
	echo "creating $(1) with $$python ($$found)"; \
	"$$python" -m venv --clear $(1) || exit 1; \
	exit 0; \
done; \
printf 'dfclib needs Python 3.11, 3.12 or 3.13 with its venv module. Looked for:\n' >&2; \
printf "$$tried" >&2; \
printf '%s\n' 'Install one of them, then run the same command again:' \
	'  Debian, Ubuntu   sudo apt install python3 python3-venv' \
	'  Fedora           sudo dnf install python3.13' \
	'  macOS            brew install python@3.13' \
	'  anything else    https://www.python.org/downloads/' \
	'One that stands elsewhere: make venv PYTHON=/path/to/python3.13' >&2; \
exit 1
endef

# $(call install,FOLDER,WHAT): pip's own progress is shown; the package itself comes last, without touching its dependencies
define install
@echo "installing into $(1) (TensorFlow is large: some minutes)"
@$(1)/bin/python $(PIP) install $(2) || { echo "The installation failed, for the reason above. The same command goes on from here." >&2; exit 1; }
@$(1)/bin/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
@touch $(1)/.installed
endef

# $(call tests,FOLDER): three groups of tests, at the same time; all failures are seen. The notebooks must really train, so
# the runs of an earlier test are removed first; a group's notebooks share their runs, so that each trains once.
NBVAL = -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 300
VENV = .venv
define tests
rm -rf build/runs-quick
+@$(MAKE) --no-print-directory --keep-going --jobs=3 VENV=$(1) test-story test-units test-systems
endef

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12 chooses the Python that .venv is made with."

venv: .venv/.installed ## create .venv and install what the project needs, from the lock

.venv/.installed: requirements.txt requirements/lock.txt pyproject.toml
	$(call create,.venv)
	$(call install,.venv,-r requirements/lock.txt)

.venv-colab/.installed: requirements.txt requirements/colab.txt pyproject.toml
	$(call create,.venv-colab)
	$(call install,.venv-colab,-r requirements.txt -c requirements/colab.txt)

story: .venv/.installed ## train and tell the six attempts [DATA=folder] [IMAGE_SIZE="H W"] [SCALE=quick|compact|full] [EPOCHS=n] [SEED=n]
	.venv/bin/python notebooks/execute.py story $(if $(DATA),--data "$(DATA)") $(if $(IMAGE_SIZE),--image-size $(IMAGE_SIZE)) $(if $(SCALE),--scale "$(SCALE)") $(if $(EPOCHS),--epochs "$(EPOCHS)") $(if $(SEED),--seed "$(SEED)")

systems: .venv/.installed ## train and compare the other four systems [DATA=folder] [IMAGE_SIZE="H W"] [SCALE=quick|compact|full] [EPOCHS=n] [SEED=n]
	.venv/bin/python notebooks/execute.py systems $(if $(DATA),--data "$(DATA)") $(if $(IMAGE_SIZE),--image-size $(IMAGE_SIZE)) $(if $(SCALE),--scale "$(SCALE)") $(if $(EPOCHS),--epochs "$(EPOCHS)") $(if $(SEED),--seed "$(SEED)")

fashion: .venv/.installed ## S4 on Fashion-MNIST: fetch, train, evaluate, draw into build/fashion [DATA=folder] [SCALE=..]
	.venv/bin/python -m dfclib fashion $(if $(DATA),--data "$(DATA)") $(if $(SCALE),--scale "$(SCALE)")

reproduce: .venv/.installed ## train and record everything that the report shows, in order of worth [DATA=folder] [HOURS=2.5] [SCALE=..]
	.venv/bin/python -m dfclib reproduce $(if $(DATA),--data "$(DATA)") $(if $(HOURS),--hours "$(HOURS)") $(if $(SCALE),--scale "$(SCALE)")

test: .venv/.installed ## every check: style, unit tests, README and report, pairs, the notebooks under nbval
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	$(call tests,.venv)

test-units: ## the unit tests alone, in .venv
	$(VENV)/bin/python -m pytest --durations=25

test-story: ## the six attempts' notebooks under nbval, and whether their story holds, in .venv
	$(VENV)/bin/python $(NBVAL) notebooks/0[0-6]*.ipynb tests/notebooks/story_holds.py

test-systems: ## the other notebooks under nbval, in .venv
	$(VENV)/bin/python $(NBVAL) notebooks/0[7-9]*.ipynb notebooks/1*.ipynb

test-colab: .venv-colab/.installed ## the same tests under Colab's versions, in .venv-colab
	$(call tests,.venv-colab)

notebooks: .venv/.installed ## execute the committed notebooks again and write their outputs back
	rm -rf build/runs-quick
	.venv/bin/python notebooks/execute.py --in-place

figures: .venv/.installed ## make the figures of images/ again from the recorded runs in report/runs
	.venv/bin/python -m dfclib figures --out images

readme: .venv/.installed ## fill the generated tables and answers of README, report, recipes and notebooks from report/runs
	.venv/bin/python -m dfclib.reporting.readme README.md report/README.md dfclib/recipes/*.py notebooks/[0-9]*.py notebooks/[0-9]*.ipynb

report: figures ## make report/dfclib.pdf and its figures from report/runs, offline
	.venv/bin/python -m dfclib.reporting.document --out report/dfclib.pdf

lint: .venv/.installed ## look at style, change nothing
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .

format: .venv/.installed ## mend style where ruff can
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

lock: ## resolve requirements.txt anew into requirements/lock.txt (needs python3.11, 3.12 and 3.13)
	python3.11 requirements/lock.py python3.11 python3.12 python3.13

clean: ## remove what the commands made: build, caches, .venv, .venv-colab (runs/ stays)
	rm -rf build .venv .venv-colab .pytest_cache .ruff_cache *.egg-info
	find dfclib tests notebooks benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
