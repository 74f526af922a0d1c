# Shortcuts for what CONTRIBUTING.md names; all need the environment of `pip install -c constraints.txt -e '.[dev]'`.
.PHONY: test quick-test lint

test:  ## everything, some ten minutes
	python -m pytest -n 2

quick-test:  ## nine in ten of the tests, in about two minutes
	python -m pytest -n 2 -m "not slow and not cluster and not browser"

lint:  ## what CI asks for beside the tests
	ruff check .
	ruff format --check .
	mypy
