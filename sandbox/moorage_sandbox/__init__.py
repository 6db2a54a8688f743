"""The kernel sandbox of Moorage workers, and the zygote that forks them. The standard library alone."""

__version__ = "0.1.0"
