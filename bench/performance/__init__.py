"""``run_bench.py performance``: what distillation costs here, and how close it comes to the machine."""
