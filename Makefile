# Everything a newcomer needs: `make demo` shows the lab at work, `make test` runs all tests.
# Both begin with `make setup`, which costs under a second once all is there.

PYTHON := .venv/bin/python
PROGRAM ?= examples/submissions/reference-c
HELD_OUT := unlike-pcpus capped drift bursts crowd \
	late-guests slow-leak file-cache two-waves no-swap unlike-sizes day-and-night
SENSITIVITY_SEEDS ?= 3

.PHONY: help setup demo test docs lint format bench floor mutants league sensitivity daemons molecule undone cloud-guest test-vagrant test-guide clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

setup: ## install what is missing: system packages, .venv/, the clock library
	@scripts/setup

demo: setup ## grade a reference submission by the current rubric and show the result
	@.venv/bin/virtlab grade $(PROGRAM)

test: ## run all tests
	@scripts/setup tests
	@$(PYTHON) -m pytest -n 2

docs: setup ## build the documentation as a site, to be read in build/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

.PHONY: docs-all
docs-all: setup ## try every command of the documentation, the slow ones too
	@VIRTLAB_DOCS=all $(PYTHON) -m pytest -n 2 tests/docs

lint: setup ## formatter, linter, type checker, and the order of the rooms
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache

format: setup ## let the formatter decide layout
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench: setup ## measure what the project promises about speed
	@$(PYTHON) -m benchmarks

floor: setup ## compute anew what weak programs get under each rubric
	@$(PYTHON) scripts/floor

mutants: setup ## hold the grader against small mistakes in the reference programs (half an hour)
	@$(PYTHON) scripts/mutants

daemons: setup ## grade our own daemons as a submission, by every course rubric with 100 seeds
	@rm -rf build/daemons && mkdir -p build && $(PYTHON) scripts/daemons-submission build/daemons
	@for rubric in fall-2026 rubric-2023 generality; do \
		.venv/bin/virtlab grade build/daemons --rubric $$rubric --seeds 100 --out build/daemons-$$rubric || exit; \
	done

league: setup ## play the whole league anew, 20 seeds, and write its table into the docs
	@.venv/bin/virtlab league --seeds 20 --out build/league --overwrite >/dev/null
	@{ printf '# The league as it was played last\n\n`make league` writes this page. How to read it: '; \
	printf '[the league](../explanation/league.md).\n\n'; cat build/league/table.md; } >docs/reference/league.md

sensitivity: setup ## play the league's held-out families with each physical constant changed, and write a table into the docs
	@.venv/bin/virtlab league --seeds $(SENSITIVITY_SEEDS) $(addprefix --scenario ,$(HELD_OUT)) --sensitivity \
		--out build/sensitivity --overwrite >/dev/null
	@{ printf '# Rankings with another physics\n\n`make sensitivity` writes this page: the twelve held-out families, seeds: '; \
	printf '$(SENSITIVITY_SEEDS), from 1001; one constant at a time half and one and a half times as large. '; \
	printf 'What that is: [the league](../explanation/league.md).\n\n'; \
	cat build/sensitivity/sensitivity.md; } >docs/reference/sensitivity.md

molecule: setup ## converge, run again and verify every role; on a simulated host where that will do
	@scripts/molecule

undone: setup ## bring a real host up and down on a copy of this machine, and show what is left (root)
	@scripts/undone

cloud-guest: setup ## make, enter, load and remove a Debian guest on a copy of this machine, minutes (root)
	@$(PYTHON) -m virtlab.guests.debian_image
	@VIRTLAB_CLOUD_GUEST=1 scripts/apart $(PYTHON) -m pytest -q -s tests/realhost/test_cloud_guests.py

test-vagrant: setup ## bring up a Vagrant box under emulation, provision it, grade in it, destroy it (root)
	@scripts/vagrant/test

test-guide: ## build a small book with publican by the playbook guide.yml; installs publican (root)
	@scripts/setup guide
	@$(PYTHON) -m pytest -q tests/playbooks/test_guide.py
	@scripts/molecule guide

clean: ## remove what setup and the tests made, except installed packages
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
