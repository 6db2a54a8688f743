"""What SQLAlchemy's suite has to know of our dialects: how an upsert is written; nothing else is as with its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.testing import provision

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def register() -> None:
    for database in _INSERTS:
        provision.upsert.for_db(database)(_upsert)


def _upsert(
    cfg: Any,
    table: Any,
    returning: Any,
    *,
    set_lambda: Any = None,
    sort_by_parameter_order: bool = False,
    index_elements: Any = None,
) -> Any:
    statement = _INSERTS[cfg.db.name](table)
    if set_lambda is None:
        statement = statement.on_conflict_do_nothing()
    else:
        statement = statement.on_conflict_do_update(
            index_elements=index_elements or list(table.primary_key.columns), set_=set_lambda(statement.excluded)
        )
    return statement.returning(*returning, sort_by_parameter_order=sort_by_parameter_order)
