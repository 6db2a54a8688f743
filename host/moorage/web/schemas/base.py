"""What the API's documents have in common."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from moorage.web.values import check_input

Item = TypeVar("Item")

#: Of lines and entries: what the store counts with.
MAX_ID = 2**63 - 1


class Document(BaseModel):
    """An answer. Clients ignore fields they do not know, so that a newer host can add some."""

    model_config = ConfigDict(frozen=True)


class Order(BaseModel):
    """A request's body. An unknown field is a mistake, and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Document, Generic[Item]):
    items: list[Item]


def _checked(value: Any) -> Any:
    check_input(value)
    return value


#: JSON from outside that will cross to a worker.
Input = Annotated[JsonValue, AfterValidator(_checked)]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


#: Given by a person, and shown wherever somebody asks why.
Reason = Annotated[str, Field(max_length=1000), AfterValidator(_on_one_line)]
