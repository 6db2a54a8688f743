"""Log lines."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, JsonValue

from moorage.models import log
from moorage.web.schemas.base import Document
from moorage.web.values import text, to_json


class LogLine(Document):
    id: int = Field(description="Running number; 0 for a line that is not stored yet.")
    time: datetime
    installation: str
    incarnation: str
    level: int = Field(description="Numeric level of Python's logging.", examples=[20])
    logger: str = Field(description='The logger\'s name, or "stdout" or "stderr".')
    message: str
    execution: str = ""
    fields: JsonValue = {}
    exception: str = ""

    @classmethod
    def of(cls, line: log.LogLine) -> Self:
        return cls(
            id=line.id,
            time=line.time,
            installation=line.installation,
            incarnation=line.incarnation,
            level=line.level,
            logger=text(line.logger),
            message=text(line.message),
            execution=line.execution,
            fields=to_json(line.fields),
            exception=text(line.exception),
        )
