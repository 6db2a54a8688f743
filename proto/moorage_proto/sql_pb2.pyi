from moorage_proto import access_pb2 as _access_pb2
from moorage_proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectRequest(_message.Message):
    __slots__ = ("backend", "scoped")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SCOPED_FIELD_NUMBER: _ClassVar[int]
    backend: str
    scoped: bool
    def __init__(self, backend: _Optional[str] = ..., scoped: bool = ...) -> None: ...

class ConnectReply(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("connection", "statement", "parameters", "first_rows")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROWS_FIELD_NUMBER: _ClassVar[int]
    connection: int
    statement: str
    parameters: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    first_rows: int
    def __init__(self, connection: _Optional[int] = ..., statement: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., first_rows: _Optional[int] = ...) -> None: ...

class ExecuteManyRequest(_message.Message):
    __slots__ = ("connection", "statement", "rows")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    connection: int
    statement: str
    rows: _containers.RepeatedCompositeFieldContainer[ParameterRow]
    def __init__(self, connection: _Optional[int] = ..., statement: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[ParameterRow, _Mapping]]] = ...) -> None: ...

class ParameterRow(_message.Message):
    __slots__ = ("parameters",)
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    parameters: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, parameters: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ...) -> None: ...

class ExecuteReply(_message.Message):
    __slots__ = ("columns", "rows", "cursor", "row_count", "last_row_id")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_ROW_ID_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    cursor: int
    row_count: int
    last_row_id: int
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., cursor: _Optional[int] = ..., row_count: _Optional[int] = ..., last_row_id: _Optional[int] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("cursor", "batch_rows")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    cursor: int
    batch_rows: int
    def __init__(self, cursor: _Optional[int] = ..., batch_rows: _Optional[int] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class CloseCursorRequest(_message.Message):
    __slots__ = ("cursor",)
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    cursor: int
    def __init__(self, cursor: _Optional[int] = ...) -> None: ...

class CloseCursorReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class CommitReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class RollbackReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelStatementRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class CancelStatementReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ("connection", "schema", "names")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    connection: int
    schema: str
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, connection: _Optional[int] = ..., schema: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class InspectReply(_message.Message):
    __slots__ = ("default_schema", "schemas", "relations", "sequences", "enumerations", "domains")
    DEFAULT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    ENUMERATIONS_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    default_schema: str
    schemas: _containers.RepeatedScalarFieldContainer[str]
    relations: _containers.RepeatedCompositeFieldContainer[Relation]
    sequences: _containers.RepeatedCompositeFieldContainer[QualifiedName]
    enumerations: _containers.RepeatedCompositeFieldContainer[Enumeration]
    domains: _containers.RepeatedCompositeFieldContainer[Domain]
    def __init__(self, default_schema: _Optional[str] = ..., schemas: _Optional[_Iterable[str]] = ..., relations: _Optional[_Iterable[_Union[Relation, _Mapping]]] = ..., sequences: _Optional[_Iterable[_Union[QualifiedName, _Mapping]]] = ..., enumerations: _Optional[_Iterable[_Union[Enumeration, _Mapping]]] = ..., domains: _Optional[_Iterable[_Union[Domain, _Mapping]]] = ...) -> None: ...

class QualifiedName(_message.Message):
    __slots__ = ("schema", "name")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    schema: str
    name: str
    def __init__(self, schema: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Relation(_message.Message):
    __slots__ = ("schema", "name", "kind", "comment", "columns", "constraints", "indexes", "definition")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    schema: str
    name: str
    kind: str
    comment: str
    columns: _containers.RepeatedCompositeFieldContainer[TableColumn]
    constraints: _containers.RepeatedCompositeFieldContainer[Constraint]
    indexes: _containers.RepeatedCompositeFieldContainer[Index]
    definition: str
    def __init__(self, schema: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., comment: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[TableColumn, _Mapping]]] = ..., constraints: _Optional[_Iterable[_Union[Constraint, _Mapping]]] = ..., indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., definition: _Optional[str] = ...) -> None: ...

class TableColumn(_message.Message):
    __slots__ = ("name", "type", "not_null", "default_expression", "generated", "identity", "comment", "collation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NOT_NULL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    GENERATED_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    COLLATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    not_null: bool
    default_expression: str
    generated: bool
    identity: Identity
    comment: str
    collation: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., not_null: bool = ..., default_expression: _Optional[str] = ..., generated: bool = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., comment: _Optional[str] = ..., collation: _Optional[str] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("always", "start", "increment", "minimum", "maximum", "cache", "cycle")
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    INCREMENT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    always: bool
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    def __init__(self, always: bool = ..., start: _Optional[int] = ..., increment: _Optional[int] = ..., minimum: _Optional[int] = ..., maximum: _Optional[int] = ..., cache: _Optional[int] = ..., cycle: bool = ...) -> None: ...

class Constraint(_message.Message):
    __slots__ = ("name", "kind", "columns", "definition", "referred", "referred_columns", "comment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    REFERRED_FIELD_NUMBER: _ClassVar[int]
    REFERRED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    definition: str
    referred: QualifiedName
    referred_columns: _containers.RepeatedScalarFieldContainer[str]
    comment: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., definition: _Optional[str] = ..., referred: _Optional[_Union[QualifiedName, _Mapping]] = ..., referred_columns: _Optional[_Iterable[str]] = ..., comment: _Optional[str] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("name", "unique", "columns", "expressions", "included_columns", "method", "predicate", "constraint", "primary", "nulls_not_distinct", "orders", "definition")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    EXPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINT_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    NULLS_NOT_DISTINCT_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    unique: bool
    columns: _containers.RepeatedScalarFieldContainer[str]
    expressions: _containers.RepeatedScalarFieldContainer[str]
    included_columns: _containers.RepeatedScalarFieldContainer[str]
    method: str
    predicate: str
    constraint: str
    primary: bool
    nulls_not_distinct: bool
    orders: _containers.RepeatedScalarFieldContainer[str]
    definition: str
    def __init__(self, name: _Optional[str] = ..., unique: bool = ..., columns: _Optional[_Iterable[str]] = ..., expressions: _Optional[_Iterable[str]] = ..., included_columns: _Optional[_Iterable[str]] = ..., method: _Optional[str] = ..., predicate: _Optional[str] = ..., constraint: _Optional[str] = ..., primary: bool = ..., nulls_not_distinct: bool = ..., orders: _Optional[_Iterable[str]] = ..., definition: _Optional[str] = ...) -> None: ...

class Enumeration(_message.Message):
    __slots__ = ("name", "labels", "visible")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    name: QualifiedName
    labels: _containers.RepeatedScalarFieldContainer[str]
    visible: bool
    def __init__(self, name: _Optional[_Union[QualifiedName, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., visible: bool = ...) -> None: ...

class Domain(_message.Message):
    __slots__ = ("name", "type", "not_null", "default_expression", "collation", "visible", "constraints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NOT_NULL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    COLLATION_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    name: QualifiedName
    type: str
    not_null: bool
    default_expression: str
    collation: str
    visible: bool
    constraints: _containers.RepeatedCompositeFieldContainer[Constraint]
    def __init__(self, name: _Optional[_Union[QualifiedName, _Mapping]] = ..., type: _Optional[str] = ..., not_null: bool = ..., default_expression: _Optional[str] = ..., collation: _Optional[str] = ..., visible: bool = ..., constraints: _Optional[_Iterable[_Union[Constraint, _Mapping]]] = ...) -> None: ...

class CloseConnectionRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class CloseConnectionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
