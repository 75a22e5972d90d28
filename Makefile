.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit faults nix bench chaos race dashboards clean distclean

PYTHON ?= python3
export PYTHON
export ONCE

help: ## show this
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what is missing; leaves .venv/bin/reconciler
	@scripts/setup

demo: setup ## three hosts, a repository, the daemon; ONCE=1 tears down and exits
	@lab/demo

test: setup ## lint, types, import contracts, the tests of every day
	@scripts/check all

lint: setup ## ruff, mypy, import contracts
	@scripts/check lint

unit: setup ## the tests that need no host and no Nix
	@.venv/bin/pytest tests/unit

faults: setup ## what `make test` leaves out: all faults at all steps, long searches
	@scripts/check faults

nix: setup ## the tests that call Nix, with another one: NIX=/nix/store/…-nix-2.26.3/bin
	@[ -x "$(NIX)/nix-instantiate" ] || { echo 'say where: make nix NIX=DIR' >&2; exit 2; }
	@PATH="$(NIX):$$PATH" .venv/bin/pytest -n2 --dist loadfile \
		-m 'nix and not fleet and not matrix' tests/adapters tests/deploy tests/examples \
		tests/nixpkgs tests/unit/plan

bench: setup ## measure, side by side with peers
	@.venv/bin/python -m tests.bench

chaos: setup ## faults at random moments; SEED=7 TRIALS=1000, or TRIAL=31
	@.venv/bin/python -m tests.chaos $(if $(SEED),--seed $(SEED)) \
		$(if $(TRIALS),--trials $(TRIALS)) $(if $(TRIAL),--trial $(TRIAL))

race: setup ## links swapped under the delivery of keys, a minute for each way
	@RACE_SECONDS=60 .venv/bin/pytest -n2 tests/unit/apply/test_keys_race.py \
		tests/adapters/test_keys_on_host.py -k "given_away or swaps"

dashboards: setup ## write what deploy/grafana generates
	@.venv/bin/python -m deploy.grafana.generate

clean: ## stop this checkout's fleets; remove .venv and caches
	@if [ "$$(id -u)" -eq 0 ]; then lab/fleet/fleet down --all; fi
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache *.egg-info build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: ## the same, and the cached images, layers and tools
	@if [ "$$(id -u)" -eq 0 ]; then \
		lab/fleet/fleet down --all && lab/fleet/fleet prune --all; fi
	@$(MAKE) --no-print-directory clean
