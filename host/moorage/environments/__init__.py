"""What plugins run on: interpreters, resolved locks, virtualenvs, and the host's own runtime beside them."""
