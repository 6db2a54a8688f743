"""RFC 9457 problem details."""

from __future__ import annotations

from pydantic import Field

from moorage.web.schemas.base import Document


class FieldProblem(Document):
    """One thing that is wrong with a request."""

    where: str = Field(description="Dotted place in the request.", examples=["body.task"])
    message: str


class Problem(Document):
    """Why a request was not done, in whole sentences."""

    type: str = "about:blank"
    title: str = Field(description="The HTTP status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="Sentences for people: what, which rule, what to do next.")
    code: str = Field(description="A stable word for programs.", examples=["not_found"])
    exit_code: int = Field(description="What the command line ends with for it.", examples=[66])
    errors: list[FieldProblem] = Field(default=[], description="Of an invalid request: each thing that is wrong.")
