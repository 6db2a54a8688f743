"""Everything that SQLAlchemy's suite can ask of a dialect is asked, but for what ``excluded.toml`` lists."""

from __future__ import annotations

import os
from typing import Any

from exclusions import read
from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

DATABASE = os.environ["MOORAGE_DIALECTS_DATABASE"]

_COLLATIONS = {"sqlite": "NOCASE", "postgresql": "POSIX"}


class Requirements(SuiteRequirements):
    """Those that are no more than open or closed are set below."""

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        dialect = config.db.dialect
        return {"default": dialect.default_isolation_level, "supported": dialect.get_isolation_level_values(None)}

    def get_order_by_collation(self, config: Any) -> str:
        return _COLLATIONS[config.db.name]

    @property
    def async_dialect(self) -> Any:
        return exclusions.only_if(lambda config: config.db.dialect.is_async, "asks for an async dialect")


def _opened(_: object) -> Any:
    return exclusions.open()


def _closed(reason: str) -> property:
    return property(lambda _: exclusions.skip_if(lambda: True, reason))


def _is_closed(requirement: property) -> bool:
    return getattr(requirement.fget, "__code__", None) is not None and "closed" in requirement.fget.__code__.co_names


for _name, _requirement in vars(SuiteRequirements).items():
    if isinstance(_requirement, property) and _name not in vars(Requirements) and _is_closed(_requirement):
        setattr(Requirements, _name, property(_opened))
for _excluded in read(DATABASE)[0]:
    if not hasattr(SuiteRequirements, _excluded.name):
        raise LookupError(f"excluded.toml names the requirement {_excluded.name}, which SQLAlchemy does not have")
    setattr(Requirements, _excluded.name, _closed(str(_excluded)))
