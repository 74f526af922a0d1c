"""The harness, a room a stage.

From the ground up: files, compute, data, study, planning, training, scoring, running, report, watching.
``commands`` does what the verbs of ``cli`` say. No room imports one above it.
"""

__version__ = "0.1.0"
