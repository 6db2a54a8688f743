"""Gathers what a statement needs while it is read. Pure."""

from __future__ import annotations

from moorage.broker.services.sql.postgresql.facts import (
    INFORMATION_SCHEMA,
    INFORMATION_VIEWS,
    RESERVED_PREFIX,
    Facts,
    Relation,
)
from moorage_proto.capability import ROWS_ALONE
from moorage_proto.sqlite_access import DEFINE, READ, WRITE, AccessNeed, Forbidden

#: Columns that every table has, and that no right to columns covers.
SYSTEM_COLUMNS = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})


class Needs:
    """Of one statement."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.writes = False
        self.defines = False
        #: The first name that is no column of what it was looked for in; told only to who may read that.
        self.unknown_column = ""
        #: What is forbidden for a reason that tells of the schema; told only to who has the rights it takes.
        self.forbidden = ""
        self._reads: dict[str, set[str]] = {}
        self._whole: dict[str, None] = {}
        self._updates: dict[str, set[str]] = {}
        self._others: dict[AccessNeed, None] = {}

    @property
    def all(self) -> tuple[AccessNeed, ...]:
        return (
            *self._others,
            *(AccessNeed((READ,), table) for table in self._whole),
            *(AccessNeed((READ,), table, _columns(found)) for table, found in self._reads.items()),
            *(
                AccessNeed((WRITE,), table, tuple(sorted(columns)))
                for table, columns in self._updates.items()
                if AccessNeed((WRITE,), table) not in self._others
            ),
        )

    @property
    def tables_read(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._whole, *self._reads)))

    def relation(self, schema: str, name: str) -> tuple[str, Relation | None]:
        """Its resource name, and what is known of it. Raises Forbidden for what no right is about."""
        if schema == INFORMATION_SCHEMA:
            if not self.facts.shows_information or name not in INFORMATION_VIEWS:
                raise Forbidden(_INFORMATION)
            return "", self.facts.find(schema, name) or Relation(schema, name, "v")
        # Of names without a schema the catalogue is looked up first, and all of its tables are called so.
        if schema.startswith("pg_") or (not schema and name.startswith("pg_")):
            raise Forbidden(_CATALOGUE)
        if schema.startswith(RESERVED_PREFIX) and schema != self.facts.own:
            raise Forbidden(f"The schema {schema} is another installation's, and is not available to this one.")
        if name.startswith(RESERVED_PREFIX):
            raise Forbidden(f"Names that begin with moorage_ are the host's; {name} is not available to plugins.")
        return self.facts.resource(schema, name), self.facts.find(schema, name)

    def read_rows(self, table: str) -> None:
        self._reads.setdefault(table, set())

    def read(self, table: str, column: str) -> None:
        if column in SYSTEM_COLUMNS:
            self.read_all(table)
        else:
            self._reads.setdefault(table, set()).add(column)

    def read_each(self, table: str, columns: tuple[str, ...]) -> None:
        self._reads.setdefault(table, set()).update(columns)

    def read_all(self, table: str) -> None:
        self._whole[table] = None

    def update(self, table: str, column: str) -> None:
        self.writes = True
        self._updates.setdefault(table, set()).add(column)

    def write(self, table: str) -> None:
        self.writes = True
        self._others[AccessNeed((WRITE,), table)] = None

    def lock(self, table: str) -> None:
        """Who locks rows keeps others from writing them."""
        self.writes = True
        self._others[AccessNeed((WRITE,), table, ROWS_ALONE)] = None

    def refer(self, table: str) -> None:
        """A foreign key can keep rows of its parent from being deleted."""
        self._others[AccessNeed((WRITE, DEFINE), table)] = None

    def sequence(self, verb: str, name: str) -> None:
        """Who sets one can make the rows to come fail: that takes the right to the whole table."""
        self.writes = self.writes or verb == WRITE
        self._others[AccessNeed((verb,), name, () if verb == WRITE else ROWS_ALONE)] = None

    def define(self, table: str) -> None:
        self.writes = self.defines = True
        self._others[AccessNeed((DEFINE,), table)] = None

    def forbid(self, sentence: str) -> None:
        self.forbidden = self.forbidden or sentence

    def missing(self, column: str) -> None:
        self.unknown_column = self.unknown_column or column


def _columns(found: set[str]) -> tuple[str, ...]:
    return tuple(sorted(found)) or ROWS_ALONE


_CATALOGUE = (
    "The catalogue of PostgreSQL cannot be read by plugins. SQLAlchemy's inspector shows the tables to which there is "
    "some right."
)
_INFORMATION = (
    f"This view is not available to plugins. SQLAlchemy's inspector shows the tables to which there is some right; of "
    f"the information schema there are {', '.join(sorted(INFORMATION_VIEWS))}, where the database has a role for each "
    "installation."
)
