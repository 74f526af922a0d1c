"""The harness, a room a stage.

From the ground up: files, compute, data, study, planning, training, scoring, running, report, watching.
``commands`` does what the verbs of ``cli`` say. No room imports one above it.
"""

import os

# Torch takes large tensors from the system and gives them back in every step. In huge pages a step is some
# 7 to 12 % shorter. Read once, at torch's first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
