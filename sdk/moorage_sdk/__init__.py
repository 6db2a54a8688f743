"""What a Moorage plugin is written with."""

__version__ = "0.1.0"
