"""``run_bench.py performance``: what distillation costs here, and how close it comes to the machine.

One idea a file: ``plain_loop`` is what a user would write instead, ``lab`` what everything is measured
with, ``steps`` training against that loop and against the machine, ``growth`` how cost grows, ``page``
the tables and the plot, ``command`` the command.
"""
