"""Entry point: ``python run_bench.py --matrix quick``. Everything is in ``bench/cli.py``."""

from bench.cli import main

if __name__ == "__main__":
    main()
