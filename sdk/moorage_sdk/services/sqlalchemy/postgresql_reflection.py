"""Reflection on PostgreSQL: what the host shows of the catalogue, as SQLAlchemy's inspector wants it.

The arguments of the methods are SQLAlchemy's; ``info_cache`` among them keeps what one Inspector has seen.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from sqlalchemy import exc
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql

from moorage_proto import sql_pb2
from moorage_sdk.services.sqlalchemy import postgresql_names as words
from moorage_sdk.services.sqlalchemy.brokered import raw_connection

_NULLS = {"desc nulls last": ("desc", "nulls_last"), "desc": ("desc",), "nulls first": ("nulls_first",)}

#: Relations asked for in one call.
_AT_ONCE = 200


class Reflection:
    """Of a dialect; comes before SQLAlchemy's own."""

    ischema_names: Dict[str, Any]

    def get_schema_names(self, connection: Any, **kw: Any) -> List[str]:
        return list(_listing(connection, None, kw).schemas)

    def has_schema(self, connection: Any, schema_name: str, **kw: Any) -> bool:
        return schema_name in _listing(connection, None, kw).schemas

    def get_table_names(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> List[str]:
        return _names(connection, schema, kw, "table", "foreign table")

    def get_view_names(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> List[str]:
        return _names(connection, schema, kw, "view")

    def get_materialized_view_names(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> List[str]:
        return _names(connection, schema, kw, "materialized view")

    def _get_foreign_table_names(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> List[str]:
        return _names(connection, schema, kw, "foreign table")

    def get_temp_table_names(self, connection: Any, **kw: Any) -> List[str]:  # noqa: ARG002 - there are none
        return []

    def get_temp_view_names(self, connection: Any, **kw: Any) -> List[str]:  # noqa: ARG002 - there are none
        return []

    def get_sequence_names(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> List[str]:
        return [one.name for one in _listing(connection, schema, kw).sequences]

    def has_table(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> bool:
        return any(one.name == table_name for one in _listing(connection, schema, kw).relations)

    def has_multi_table(
        self, connection: Any, table_names: Sequence[str], schema: Optional[str] = None, **kw: Any
    ) -> List[Tuple[Tuple[Optional[str], str], bool]]:
        there = {one.name for one in _listing(connection, schema, kw).relations}
        return [((schema, name), name in there) for name in table_names]

    def has_sequence(self, connection: Any, sequence_name: str, schema: Optional[str] = None, **kw: Any) -> bool:
        return sequence_name in self.get_sequence_names(connection, schema, **kw)

    def has_type(self, connection: Any, type_name: str, schema: Optional[str] = None, **kw: Any) -> bool:
        listing = _listing(connection, schema, kw)
        names = [one.name for one in listing.enumerations] + [one.name for one in listing.domains]
        return any(name.name == type_name for name in names)

    def get_view_definition(self, connection: Any, view_name: str, schema: Optional[str] = None, **kw: Any) -> str:
        found = _relation(connection, view_name, schema, kw)
        if "view" not in found.kind:
            raise exc.NoSuchTableError(f"{schema}.{view_name}" if schema else view_name)
        return found.definition

    def get_columns(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        found = _relation(connection, table_name, schema, kw)
        named = _NamedTypes(self, _listing(connection, None, kw))
        return [self._column(column, schema, named) for column in found.columns]

    def get_pk_constraint(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        for key in _constraints(connection, table_name, schema, kw, "primary key"):
            index = _index_of(connection, table_name, schema, kw, key.name)
            return {
                "constrained_columns": list(key.columns),
                "name": key.name,
                "comment": _optional(key, "comment"),
                "dialect_options": {"postgresql_include": list(index.included_columns)},
            }
        return {"constrained_columns": [], "name": None}

    def get_unique_constraints(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        found = []
        for unique in _constraints(connection, table_name, schema, kw, "unique"):
            index = _index_of(connection, table_name, schema, kw, unique.name)
            options = {
                "postgresql_include": list(index.included_columns),
                "postgresql_nulls_not_distinct": index.nulls_not_distinct,
            }
            comment = _optional(unique, "comment")
            entry = {"column_names": list(unique.columns), "name": unique.name, "comment": comment}
            found.append({**entry, "dialect_options": options})
        return found

    def get_foreign_keys(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        kw.pop("postgresql_ignore_search_path", None)
        return [
            {
                "name": key.name,
                "constrained_columns": list(key.columns),
                "referred_schema": _referred_schema(key, schema),
                "referred_table": key.referred.name,
                "referred_columns": list(key.referred_columns),
                "options": words.foreign_key_options(key.definition),
                "comment": _optional(key, "comment"),
            }
            for key in _constraints(connection, table_name, schema, kw, "foreign key")
        ]

    def get_check_constraints(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        found = []
        for constraint in _constraints(connection, table_name, schema, kw, "check"):
            condition, options = words.check(constraint.definition)
            comment = _optional(constraint, "comment")
            entry: Dict[str, Any] = {"name": constraint.name, "sqltext": condition, "comment": comment}
            found.append({**entry, "dialect_options": options} if options else entry)
        return found

    def get_indexes(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        found = _relation(connection, table_name, schema, kw)
        return [_index(index) for index in found.indexes if not index.primary]

    def get_table_comment(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        return {"text": _optional(_relation(connection, table_name, schema, kw), "comment")}

    def get_table_options(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> Any:
        _relation(connection, table_name, schema, kw)
        return {}

    def get_table_oid(self, connection: Any, table_name: str, schema: Optional[str] = None, **kw: Any) -> int:
        raise NotImplementedError("the host tells nobody the numbers that the database has for its tables")

    def _load_enums(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> Any:
        """``*``: of all schemas."""
        listing = _listing(connection, None if schema == "*" else schema, kw)
        return [
            {"name": one.name.name, "schema": one.name.schema, "visible": one.visible, "labels": list(one.labels)}
            for one in listing.enumerations
        ]

    def _load_domains(self, connection: Any, schema: Optional[str] = None, **kw: Any) -> Any:
        listing = _listing(connection, None if schema == "*" else schema, kw)
        return [
            {
                "name": one.name.name,
                "schema": one.name.schema,
                "visible": one.visible,
                "type": one.type,
                "nullable": not one.not_null,
                "default": _optional(one, "default_expression"),
                "constraints": [
                    {"name": each.name, "check": words.check(each.definition)[0]} for each in one.constraints
                ],
                "collation": one.collation or None,
            }
            for one in listing.domains
        ]

    # SQLAlchemy 2 asks for many tables at once.

    def get_multi_columns(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_columns, connection, kw)

    def get_multi_pk_constraint(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_pk_constraint, connection, kw)

    def get_multi_unique_constraints(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_unique_constraints, connection, kw)

    def get_multi_foreign_keys(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_foreign_keys, connection, kw)

    def get_multi_check_constraints(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_check_constraints, connection, kw)

    def get_multi_indexes(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_indexes, connection, kw)

    def get_multi_table_comment(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_table_comment, connection, kw)

    def get_multi_table_options(self, connection: Any, **kw: Any) -> Any:
        return self._multi(self.get_table_options, connection, kw)

    def _multi(self, one: Any, connection: Any, kw: Dict[str, Any]) -> Any:
        schema = kw.get("schema")
        listed = [found.name for found in _listing(connection, schema, kw).relations]
        wanted = kw.get("filter_names") or listed
        _prefetch(connection, [name for name in wanted if name in listed], schema, kw)
        return self._default_multi_reflect(one, connection, **kw)  # type: ignore[attr-defined]

    def _column(self, column: sql_pb2.TableColumn, schema: Optional[str], named: _NamedTypes) -> Dict[str, Any]:
        kind = words.column_type(self.ischema_names, column.type, column.name, column.collation, named)
        default: Optional[str] = _optional(column, "default_expression")
        nullable, takes_sequence = not column.not_null, False
        if default is None and getattr(kind, "__visit_name__", "") == "DOMAIN":
            default = kind.default
            nullable = nullable and not kind.not_null
        entry = {"name": column.name, "type": kind, "nullable": nullable}
        if column.generated:
            entry["computed"] = {"sqltext": default, "persisted": True}
            default = None
        elif default is not None:
            default, takes_sequence = words.qualified_default(default, schema)
        is_identity = column.HasField("identity")
        if is_identity:
            entry["identity"] = _identity(column.identity)
        counts = takes_sequence and isinstance(kind, sqltypes.Integer)
        entry.update(default=default, autoincrement=counts or is_identity, comment=_optional(column, "comment"))
        return entry


class _NamedTypes:
    """Types of the database's own."""

    def __init__(self, dialect: Reflection, listing: sql_pb2.InspectReply) -> None:
        self._dialect = dialect
        self._listing = listing

    def __call__(self, name: str) -> Optional[Any]:
        path = words.unquoted(name)
        for enumeration in self._listing.enumerations:
            if _is_named(enumeration, path):
                schema = None if enumeration.visible else enumeration.name.schema
                return postgresql.ENUM(*enumeration.labels, name=enumeration.name.name, schema=schema)
        for domain in self._listing.domains:
            if _is_named(domain, path):
                return self._domain(domain)
        return None

    def _domain(self, domain: sql_pb2.Domain) -> Any:
        inner = words.column_type(
            self._dialect.ischema_names, domain.type, f"DOMAIN {domain.name.name}", domain.collation, self
        )
        kind = getattr(postgresql, "DOMAIN", None)
        if kind is None:  # SQLAlchemy 1.4 tells what is beneath it
            return inner
        checks = [(each.name, words.check(each.definition)[0]) for each in domain.constraints]
        name, condition = checks[0] if checks else (None, None)
        return kind(
            domain.name.name,
            inner,
            collation=domain.collation or None,
            default=_optional(domain, "default_expression"),
            not_null=domain.not_null,
            constraint_name=name,
            check=condition,
            create_type=False,
            schema=None if domain.visible else domain.name.schema,
        )


def _is_named(found: Any, path: Tuple[str, ...]) -> bool:
    return path == ((found.name.name,) if found.visible else (found.name.schema, found.name.name))


def _listing(connection: Any, schema: Optional[str], kw: Dict[str, Any]) -> sql_pb2.InspectReply:
    """Names and kinds."""
    cache = kw.get("info_cache")
    key = ("moorage listing", schema)
    if cache is not None and key in cache:
        return cache[key]  # type: ignore[no-any-return]
    reply: sql_pb2.InspectReply = raw_connection(connection).inspect(schema or "")
    if cache is not None:
        cache[key] = reply
    return reply


def _names(connection: Any, schema: Optional[str], kw: Dict[str, Any], *kinds: str) -> List[str]:
    return [one.name for one in _listing(connection, schema, kw).relations if one.kind in kinds]


def _relation(connection: Any, name: str, schema: Optional[str], kw: Dict[str, Any]) -> sql_pb2.Relation:
    """Everything of one. Raises NoSuchTableError."""
    cache: Dict[Any, Any] = kw.get("info_cache") or {}
    found: Optional[sql_pb2.Relation] = cache.get(("moorage relation", schema, name))
    if found is None:
        found = next(_fetched(connection, [name], schema, kw), None)
    if found is None:
        raise exc.NoSuchTableError(f"{schema}.{name}" if schema else name)
    return found


def _prefetch(connection: Any, names: Sequence[str], schema: Optional[str], kw: Dict[str, Any]) -> None:
    cache = kw.get("info_cache")
    if cache is None:
        return
    missing = [name for name in names if ("moorage relation", schema, name) not in cache]
    for start in range(0, len(missing), _AT_ONCE):
        for _ in _fetched(connection, missing[start : start + _AT_ONCE], schema, kw):
            pass


def _fetched(
    connection: Any, names: Iterable[str], schema: Optional[str], kw: Dict[str, Any]
) -> Iterator[sql_pb2.Relation]:
    cache = kw.get("info_cache")
    for found in raw_connection(connection).inspect(schema or "", list(names)).relations:
        if cache is not None:
            cache["moorage relation", schema, found.name] = found
        yield found


def _constraints(
    connection: Any, name: str, schema: Optional[str], kw: Dict[str, Any], kind: str
) -> List[sql_pb2.Constraint]:
    return [one for one in _relation(connection, name, schema, kw).constraints if one.kind == kind]


def _index_of(connection: Any, name: str, schema: Optional[str], kw: Dict[str, Any], constraint: str) -> sql_pb2.Index:
    indexes = _relation(connection, name, schema, kw).indexes
    return next((index for index in indexes if index.constraint == constraint), sql_pb2.Index())


def _referred_schema(key: sql_pb2.Constraint, schema: Optional[str]) -> Optional[str]:
    """As SQLAlchemy tells it: none for a table that is found without."""
    if words.names_schema(key.definition) or key.referred.schema == schema:
        return key.referred.schema
    return None


def _index(index: sql_pb2.Index) -> Dict[str, Any]:
    has_expressions = not all(index.columns)
    entry: Dict[str, Any] = {"name": index.name, "unique": index.unique}
    entry["column_names"] = [name or None for name in index.columns]
    if has_expressions:
        entry["expressions"] = list(index.expressions)
    sorting = {what: _NULLS[order] for what, order in zip(index.expressions, index.orders) if order in _NULLS}
    if sorting:
        entry["column_sorting"] = sorting
    if index.constraint:
        entry["duplicates_constraint"] = index.constraint
    options: Dict[str, Any] = {"postgresql_include": list(index.included_columns)}
    if index.method and index.method != "btree":
        options["postgresql_using"] = index.method
    if index.predicate:
        options["postgresql_where"] = index.predicate
    if index.nulls_not_distinct:
        options["postgresql_nulls_not_distinct"] = True
    return {**entry, "dialect_options": options}


def _identity(identity: sql_pb2.Identity) -> Dict[str, Any]:
    return {
        "always": identity.always,
        "start": identity.start,
        "increment": identity.increment,
        "minvalue": identity.minimum,
        "maxvalue": identity.maximum,
        "cache": identity.cache,
        "cycle": identity.cycle,
    }


def _optional(message: Any, field: str) -> Optional[str]:
    return getattr(message, field) if message.HasField(field) else None
