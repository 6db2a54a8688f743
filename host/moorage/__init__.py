"""Moorage: a runtime for plugins that other people wrote."""

import os

__version__ = "0.1.0"

# Before gRPC is first imported: the host forks only to execute other programs, and gRPC's handlers for more than that
# would write a line to standard error each time.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
