"""How a route gets at the host."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from moorage.web.operations import Operations


def operations_of(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


Host = Annotated[Operations, Depends(operations_of)]
