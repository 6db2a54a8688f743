"""Moorage: a runtime for plugins that other people wrote."""

import os

__version__ = "0.1.0"

# Before gRPC is first imported. The host forks only to execute other programs, and gRPC's handlers for more than that
# would write a line to standard error each time. Why its event engine is off: ``moorage_sandbox.plan.GRPC_ENV``.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
