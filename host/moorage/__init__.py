"""Moorage: a runtime for plugins that other people wrote."""

__version__ = "0.1.0"
