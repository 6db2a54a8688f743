"""Whether a private address may be reached: only where an operator has said so by name. Pure.

A name in the public DNS says nothing: whoever owns it lets it point wherever they like, to this very machine too. So
a right that names ``api.example.com`` is none to what is private. One that names an address, or a name that the public
DNS cannot hold (``localhost``, ``db``, ``wiki.internal``), is: nobody else decides where that leads. For all other
names that lead to private addresses there is a right of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moorage_proto import capability, hostname
from moorage_proto.capability import Capability

#: The right to reach a host although its address is private; the resource is the host.
PRIVATE = "net.private"


def may_be_private(host: str, *, named: bool, covering: Callable[[Capability], Sequence[Capability]]) -> bool:
    """``named``: the right that allows the connection holds the canonical host as it is, not by a wildcard."""
    return (named and hostname.is_local(host)) or bool(covering(capability.need(PRIVATE, host)))
