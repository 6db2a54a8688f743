"""What is known of a database's schema when a statement is decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Tables whose names begin so are the host's.
RESERVED_PREFIX = "moorage_"

#: They show a role what it has rights to, and nothing of others.
INFORMATION_VIEWS = frozenset(
    {
        "check_constraints",
        "column_privileges",
        "columns",
        "constraint_column_usage",
        "domains",
        "key_column_usage",
        "referential_constraints",
        "schemata",
        "sequences",
        "table_constraints",
        "table_privileges",
        "tables",
        "views",
    }
)

INFORMATION_SCHEMA = "information_schema"

CATALOGUE = "pg_catalog"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, sequence or index as it is declared."""

    schema: str
    name: str
    #: pg_class.relkind.
    kind: str
    columns: tuple[str, ...] = ()
    #: Of a sequence or index: the table that it belongs to, by its name in capabilities; empty: it stands alone.
    of: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the names in one statement. What is not in it is not there, as far as is known."""

    #: Where names without a schema are looked up, in this order; the first is the installation's own, where it has one.
    path: tuple[str, ...]
    #: The installation's own schema; empty: it has none.
    own: str
    relations: Mapping[tuple[str, str], Relation] = field(default_factory=dict)
    #: Enumerations, domains and the like; never the row types of tables. And those of the catalogue, which hide them.
    types: frozenset[tuple[str, str]] = frozenset()
    #: Whether the database itself shows in the information schema only what was granted.
    shows_information: bool = False

    def find(self, schema: str, name: str) -> Relation | None:
        """As the database looks a name up; ``schema`` may be empty."""
        for each in (schema,) if schema else self.path:
            found = self.relations.get((each, name))
            if found is not None:
                return found
        return None

    def has_type(self, schema: str, name: str) -> bool:
        """One of the database's own. PostgreSQL looks into its catalogue first, whatever else is called so."""
        if schema == CATALOGUE or (not schema and (CATALOGUE, name) in self.types):
            return False
        return any((each, name) in self.types for each in ((schema,) if schema else self.path))

    def resource(self, schema: str, name: str) -> str:
        """A table's name in capabilities: with its schema where that is not on the path."""
        found = self.find(schema, name)
        place = schema if found is None else found.schema
        return _part(name) if not place or place in self.path else f"{_part(place)}.{_part(name)}"


def _part(name: str) -> str:
    """Quoted where it would be read as something else: a dot in a name is not one between names."""
    return '"' + name.replace('"', '""') + '"' if set(name) & set('."/()*,: ') else name
