"""The orchestrator: the one door to executions, and the one writer of them."""
