"""How SQLAlchemy's types meet values that are as psycopg's: most are what they are.

On SQLAlchemy 2 those of its psycopg dialect, which write casts into the statement, but for what psycopg itself wraps:
JSON and ranges. SQLAlchemy 1.4 has no such dialect: there the server infers types, as with its psycopg2 dialect, but
for arrays, whose items are sent as the smallest integers that hold them.
"""

from __future__ import annotations

import decimal
from typing import Any, Dict, Type

from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGCompiler

from moorage_sdk.services.sql import Range as DriverRange

try:
    from sqlalchemy.dialects.postgresql import ranges
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
    from sqlalchemy.engine import processors
except ImportError:  # SQLAlchemy 1.4
    from sqlalchemy import processors  # type: ignore[attr-defined,no-redef]

    ranges = None  # type: ignore[assignment]

_FLOATS = frozenset({"float4", "float8"})


class _Numbers:
    """Values come as Decimal, float and int, by the column's type."""

    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - the same for all
        return None

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002 - the same for all
        number: Any = self
        if not number.asdecimal:
            return None if coltype in _FLOATS else processors.to_float
        if coltype in _FLOATS:
            scale = number._effective_decimal_return_scale  # noqa: SLF001 - as SQLAlchemy's own dialects
            return processors.to_decimal_processor_factory(decimal.Decimal, scale)
        return None


class _Numeric(_Numbers, sqltypes.Numeric):  # type: ignore[type-arg]  # SQLAlchemy 1.4's takes none
    """With a fixed scale."""


class _Float(_Numbers, sqltypes.Float):  # type: ignore[type-arg]  # SQLAlchemy 1.4's takes none
    """With binary digits."""


class _Read:
    """The driver has read it already."""

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002 - the same for all
        return None


class _Json(_Read, postgresql.JSON):
    """Sent as text."""


class _Jsonb(_Read, postgresql.JSONB):
    """Sent as text."""


class _Uuid(postgresql.UUID):  # type: ignore[type-arg]  # SQLAlchemy 1.4's takes none
    """Of SQLAlchemy 1.4, which expects text of the driver."""

    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - the same for all
        return None

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002 - the same for all
        return None if self.as_uuid else lambda value: None if value is None else str(value)


class CastingCompiler(PGCompiler):
    """Of SQLAlchemy 1.4; SQLAlchemy 2 casts by itself."""

    def visit_bindparam(self, bindparam: Any, *arguments: Any, **kw: Any) -> str:
        text: str = super().visit_bindparam(bindparam, *arguments, **kw)  # type: ignore[no-untyped-call]
        if isinstance(bindparam.type, sqltypes.ARRAY) and text.startswith("%("):
            compiler: Any = self.dialect.type_compiler
            return f"{text}::{compiler.process(bindparam.type)}"
        return text


def _to_driver(value: Any) -> Any:
    if isinstance(value, ranges.Range):
        return DriverRange(value.lower, value.upper, value.bounds, value.empty)
    return value


def _from_driver(value: Any) -> Any:
    if isinstance(value, DriverRange):
        return ranges.Range(value.lower, value.upper, bounds=value.bounds, empty=value.empty)  # type: ignore[arg-type]
    return value


class _Ranges:
    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - the same for all
        return _to_driver

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002 - the same for all
        return _from_driver


class _Multiranges:
    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - the same for all
        def to_driver(value: Any) -> Any:
            if value is None or isinstance(value, str):
                return value
            return "{" + ",".join(str(_to_driver(each)) for each in value) + "}"

        return to_driver

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002 - the same for all
        several: Any = getattr(ranges, "MultiRange", list)

        def from_driver(value: Any) -> Any:
            return value if value is None else several(_from_driver(each) for each in value)

        return from_driver


def _of_psycopg() -> Dict[Type[Any], Type[Any]]:
    """SQLAlchemy's own of psycopg, with ours where psycopg wraps values in classes of its own."""
    found: Dict[Any, Any] = dict(PGDialect_psycopg.colspecs)
    for general, special in PGDialect_psycopg.colspecs.items():
        name = getattr(general, "__name__", "")
        if "MultiRange" in name:
            found[general] = type("_MultiRange", (_Multiranges, special), {})
        elif "Range" in name:
            found[general] = type("_Range", (_Ranges, special), {})
    return {**found, **_OURS}


_OURS: Dict[Any, Any] = {
    sqltypes.Numeric: _Numeric,
    sqltypes.Float: _Float,
    sqltypes.JSON: _Json,
    postgresql.JSON: _Json,
    postgresql.JSONB: _Jsonb,
}


statement_compiler = PGCompiler if ranges is not None else CastingCompiler


def colspecs(of_base: Any) -> Dict[Any, Any]:
    """By general type. ``of_base``: those of SQLAlchemy's dialect for PostgreSQL itself."""
    if ranges is None:
        return {**of_base, **_OURS, postgresql.UUID: _Uuid}
    return _of_psycopg()
