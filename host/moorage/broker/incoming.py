"""What the broker needs of a call that arrived; ``moorage_proto.link.IncomingCall`` is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from moorage_proto.errors import CallError


class IncomingCall(Protocol):
    """Of one link; used from its event loop only."""

    id: int
    method: str
    request: bytes
    scope: str
    deadline: float | None
    traceparent: str

    @property
    def done(self) -> bool: ...

    def reply(self, data: bytes) -> None: ...

    def fail(self, error: CallError) -> None: ...

    async def send_item(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def items(self) -> AsyncIterator[bytes]: ...

    def on_cancel(self, callback: Callable[[], None]) -> None: ...
