"""The host's settings."""
