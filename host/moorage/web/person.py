"""Who makes a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

#: Key of the request's state under which whoever authenticates a caller leaves the person's name.
PERSON = "person"


def person_of(request: Request) -> str:
    """The name that goes into the audit; "api" where nobody told who calls."""
    return str(getattr(request.state, PERSON, "") or "api")


Person = Annotated[str, Depends(person_of)]
