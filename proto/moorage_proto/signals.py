"""The signal by which a host asks its worker what all its threads are doing.

Not one of those that libraries handle. Its handler is written in C (Python's faulthandler): it answers while native
code holds the interpreter's lock, and writes to standard error.
"""

from __future__ import annotations

#: A real-time signal, the same number on every Linux.
DUMP_STACKS = 61
