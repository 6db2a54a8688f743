"""``python -m moorage`` and the ``moorage`` command."""

from __future__ import annotations

from moorage.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
