# Everything a fresh machine with Python 3.11+ and make needs: `make demo` to see it, `make test` to check it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
WORKERS ?= auto
# Neighbours stay with one worker, so that what they share is made once.
PARALLEL = -n $(WORKERS) --dist worksteal
PYTEST_ARGS ?=
OLDEST_VENV ?= .venv-oldest
OLDEST_TESTS ?= tests/store tests/baselines/test_torch_data.py tests/baselines/test_training.py tests/hub/test_hub_loading.py tests/mapping/test_projection.py
HALO ?= 14:128000000000001
# The folder that gadget4_zoom, of docs/recipes/zoom.yaml, lies in.
SIMULATIONS ?= real
# What residual-varied is trained on; regions of no other set here.
HYPERCUBE_240 := --set simulation.regions=1001-1240 --set splits.scheme=default --set store.shard_halos=16 --set name=hypercube-240
MASS_RUNS := sz-xray-star-0 calibrated calibrated-1 calibrated-2 flagship profile_regression-sz profile_regression-sz-xray-star ridge-sz-xray-star \
	scaling-sz mean_profile-sz climatology
MASS_TITLE := The mass inside R200c

.PHONY: help demo test test-long test-oldest lint wheel-check release speed docs site constraints clean

help:
	@echo "make demo       from nothing to a report of scored U-Nets, in $(DEMO)/ (about 10 minutes on 2 cores)"
	@echo "make test       ruff, mypy and the tests, in a virtual environment of their own"
	@echo "make test-long  the long campaigns: kills, full disks, large files; then test-oldest"
	@echo "make test-oldest  tests with the oldest allowed numpy, zarr, xarray, datasets and torch"
	@echo "make lint       ruff and mypy alone"
	@echo "make wheel-check  build the wheel, install it in a clean environment, run its commands elsewhere"
	@echo "make release    build and check what the index gets, with its notes, in dist/; sends nothing"
	@echo "make speed      the speed benchmarks, beside their peers"
	@echo "make site       the documentation site with the leaderboard, in site/"
	@echo "make docs       make every generated table and figure of the documents anew"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'

# The constraints hold the versions that were tested, and a CPU build of torch where one is at hand.
$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[build,baselines,benchmarks]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all]' --group dev
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/three-hundred-maps demo --out $(DEMO)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-long: $(VENV)/.dev test-oldest
	$(BIN)/python -m pytest -m long --timeout 3600 $(PYTEST_ARGS)

# The oldest versions that pyproject.toml allows of the packages whose interfaces move most.
$(OLDEST_VENV)/.dev: pyproject.toml constraints.txt tools/oldest.py
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install -q --upgrade 'pip>=25.1'
	$(OLDEST_VENV)/bin/python tools/oldest.py > $(OLDEST_VENV)/oldest.txt
	$(OLDEST_VENV)/bin/python -m pip install -q -c $(OLDEST_VENV)/oldest.txt -e '.[build,baselines,benchmarks]' --group test
	@touch $@

test-oldest: $(OLDEST_VENV)/.dev
	$(OLDEST_VENV)/bin/python -m pytest --timeout 1800 $(PARALLEL) $(OLDEST_TESTS)

wheel-check: $(BIN)/python
	$(BIN)/python -m pip install -q build -c constraints.txt
	$(BIN)/python tests/wheel_check.py

release: $(VENV)/.run
	$(BIN)/python -m pip install -q -c constraints.txt --group release
	$(BIN)/python -m tools.release

speed: $(VENV)/.dev
	$(BIN)/python -m pip install -q -c constraints.txt --group peers
	for b in reading projection store scaling loading hub scoring training; do $(BIN)/python -m tools.speed.$$b; done

# Hours on two cores: the calibration with fresh regions, some forty runs of the baselines, the sample and the pictures.
docs: $(VENV)/.dev
	$(BIN)/python -m tools.documentation
	$(BIN)/three-hundred-maps build mini --out runs/mini
	$(BIN)/three-hundred-maps simulate --check --report docs/synthetic.md
	$(BIN)/three-hundred-maps sample --refresh --data runs/mini
	$(BIN)/three-hundred-maps preview runs/mini --halo $(HALO) --los 0 -o docs/images/cluster.png
	$(BIN)/three-hundred-maps build synthetic-gadgetx --out runs/synthetic-gadgetx
	$(BIN)/three-hundred-maps subset runs/synthetic-gadgetx --regions 101-1480 --name synthetic-1380 --out runs/synthetic-1380
	$(BIN)/python -m tools.campaign --data runs/synthetic-1380 --plan cpu --steps 800 --clusters 50,150,500 --out runs/campaign --workers 2 --results benchmarks/results --page docs
	$(BIN)/python -m baselines.results $(addprefix runs/campaign/runs/,$(MASS_RUNS)) --data runs/synthetic-1380 --title "$(MASS_TITLE)" --out docs/mass
	$(BIN)/python -m tools.cross_code --data runs/mini --twin mini-gizmo --steps 400 --out runs/cross-code --workers 2 --results benchmarks/results --page docs
	$(BIN)/three-hundred-maps build mini-hypercube $(HYPERCUBE_240) --out runs/hypercube-240
	$(BIN)/python -m baselines.unet --views sz,xray,star --data runs/hypercube-240 --network residual --channels 12 --ema 0.995 --steps 2400 --no-submission --out runs/residual-varied
	$(BIN)/python -m tools.package_model runs/residual-varied --name residual-varied
	$(BIN)/three-hundred-maps build docs/recipes/zoom.yaml --root $(SIMULATIONS) --set name=gadget4-zoom --out runs/gadget4-zoom
	$(BIN)/python -m tools.transfer --real runs/gadget4-zoom --shipped runs/hypercube-240 --steps 400 --out runs/transfer --workers 2 --page docs
	$(BIN)/python -m tools.package_model runs/transfer/runs/varied --result runs/transfer/results/varied-home.json
	$(BIN)/python -m tools.package_model runs/residual-varied --name residual-varied --result runs/transfer/results/residual-varied-home.json

# Strict: a broken link or reference ends it.
site: $(VENV)/.dev
	$(BIN)/python -m pip install -q -c constraints.txt --group site
	$(BIN)/python -m benchmarks leaderboard --verified benchmarks/results --out docs/_extra/leaderboard
	$(BIN)/python -m sphinx -W --keep-going -j auto -b html -d docs/_build/doctrees docs site
	@echo "site/index.html"

constraints: $(VENV)/.dev
	$(BIN)/python -m pip freeze --exclude-editable > constraints.new
	@echo "constraints.new holds what is installed now"

clean:
	rm -rf $(VENV) $(OLDEST_VENV) dist build .pytest_cache .mypy_cache .ruff_cache
