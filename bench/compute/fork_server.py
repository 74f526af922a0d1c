"""Imported by the server that processes are forked from, and by nothing else.

Signals that a terminal or a scheduler sends to all processes reach the one that was started, which
passes them on; the server stays, for without it nobody could tell how its processes ended.
"""

import os
import signal

from bench.compute.processes import put_environment_back

put_environment_back()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setsid()
