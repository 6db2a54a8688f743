"""The one socket of a worker that listens: in its own network, and served by the host.

A worker that was granted connections has a network namespace with nothing but its loopback. There a socket listens,
made before anything of the plugin runs; its descriptor is the host's. Whoever connects to it speaks with the host, and
the rest of the world is no nearer than before.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from moorage_sandbox import image, wire

#: What is dialled in there; a proxy's usual one.
PORT = 3128
ADDRESS = "127.0.0.1"

#: Connections that wait until the host has taken them.
_BACKLOG = 128

#: SIOCGIFFLAGS and SIOCSIFFLAGS, IFF_UP (netdevice(7)).
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
#: struct ifreq: a name, and here flags.
_REQUEST = struct.Struct("16sh22x")


def listen() -> None:
    """Leaves the listening socket at wire.PROXY_FD. In a new network namespace, with rights over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        name, flags = _REQUEST.unpack(fcntl.ioctl(listener, _GET_FLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(listener, _SET_FLAGS, _REQUEST.pack(name, flags | _UP))
        listener.bind((ADDRESS, PORT))
        listener.listen(_BACKLOG)
        image.place(os.dup(listener.fileno()), wire.PROXY_FD)
