"""Shapes of pydantic models, versions 1 and 2. Pydantic is never imported here: the plugin's own has made the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from moorage_proto.annotations import is_model_2
from moorage_sdk.schema.containers import plain
from moorage_sdk.schema.shape import Definitions, JsonSchema, Mismatch, kind_of


@dataclass(frozen=True)
class Model:
    """Pydantic itself validates and dumps."""

    type: Any

    def read(self, value: Any, where: str) -> Any:
        validate = self.type.model_validate if is_model_2(self.type) else self.type.parse_obj
        try:
            return validate(value)
        except ValueError as error:
            raise _mismatch(error, where) from error

    def write(self, value: Any, where: str) -> Any:
        if not isinstance(value, self.type):
            raise Mismatch(where, f"an object of type {self.type.__name__} was wanted, {kind_of(value)} was found")
        dumped = value.model_dump(by_alias=True) if is_model_2(self.type) else value.dict(by_alias=True)
        return plain(dumped, where)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return definitions.refer(self.type, lambda: self._body(definitions))

    def _body(self, definitions: Definitions) -> JsonSchema:
        template = "#/$defs/{model}"
        if is_model_2(self.type):
            body: JsonSchema = dict(self.type.model_json_schema(ref_template=template))
        else:
            body = dict(self.type.schema(ref_template=template))
        nested: Mapping[str, JsonSchema] = {**body.pop("definitions", {}), **body.pop("$defs", {})}
        for name, schema in nested.items():
            definitions.bodies.setdefault(name, schema)
        # A model that refers to itself comes as a reference to its own definition.
        reference = body.pop("$ref", "").rpartition("/")[2]
        return {**nested.get(reference, {}), **body}


def _mismatch(error: ValueError, where: str) -> Mismatch:
    """The first problem that pydantic tells of, with its place. The value stays out of it."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return Mismatch(where, str(error))
    first = problems()[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"] if part != "__root__")
    return Mismatch(where + place, str(first["msg"]))
