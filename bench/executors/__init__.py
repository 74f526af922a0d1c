"""Ways to run planned jobs. All run the same command, ``run_bench.py job STUDY ID``."""
