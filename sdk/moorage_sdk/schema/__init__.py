"""Types on the wire: JSON Schema for them, and conversion both ways with sentences that name the field."""

from __future__ import annotations

from moorage_proto.annotations import AnnotationUnsupported
from moorage_sdk.schema.compile import is_record_type, shape_of
from moorage_sdk.schema.shape import JsonSchema, Mismatch, Shape, json_schema

__all__ = ["AnnotationUnsupported", "JsonSchema", "Mismatch", "Shape", "is_record_type", "json_schema", "shape_of"]
