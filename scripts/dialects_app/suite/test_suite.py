"""SQLAlchemy's own tests of dialects, as every dialect outside SQLAlchemy runs them."""

from typing import Any

from sqlalchemy.testing.suite import *  # noqa: F403 - that is how the suite is collected
from sqlalchemy.testing.suite import ServerSideCursorsTest as _ServerSideCursorsTest


class ServerSideCursorsTest(_ServerSideCursorsTest):
    """The suite knows how SQLAlchemy's own drivers tell; this is how ours does."""

    def _is_server_side(self, cursor: Any) -> bool:
        found = getattr(cursor, "server_side", None)
        return super()._is_server_side(cursor) if found is None else bool(found)
