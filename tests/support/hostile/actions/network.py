"""Actions 72 to 82: the network. Nothing but loopback is dialled outside a network namespace of the stage's own."""

from __future__ import annotations

import fcntl
import socket
import struct

from attacks.world import World, action

_METADATA = ("169.254.169.254", 80)

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_UP_AND_RUNNING = 0x41


def make_own_metadata_service(world: World) -> socket.socket:
    """For the control: a network namespace of its own, whose loopback has the address, and a server there."""
    world.call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    with socket.socket(type=socket.SOCK_DGRAM) as device:
        for request, address in ((_SIOCSIFADDR, _METADATA[0]), (_SIOCSIFNETMASK, "255.255.255.255")):
            target = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(device, request, struct.pack("=16s16s8x", b"lo", target))
        fcntl.ioctl(device, _SIOCSIFFLAGS, struct.pack("=16sH22x", b"lo", _UP_AND_RUNNING))
    server = socket.socket()
    server.bind(_METADATA)
    server.listen()
    return server


@action
def tcp_loopback_host(world: World) -> None:
    socket.create_connection(("127.0.0.1", world["port"]), 5).close()


@action
def tcp6_loopback(world: World) -> None:
    socket.create_connection(("::1", world["port6"]), 5).close()


@action
def tcp_metadata(world: World) -> None:
    """The cloud's metadata service. The stage's own network namespace has one; elsewhere only a socket is asked for."""
    server = make_own_metadata_service(world) if world["makes_own_network"] else None
    with socket.socket() as client:
        if server is not None or world["has_own_network"]:
            client.settimeout(5)
            client.connect(_METADATA)


@action
def udp_dns(world: World) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", world["udp_port"]))


@action
def tcp_bind(world: World) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()


@action
def netlink(world: World) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@action
def packet(world: World) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


@action
def raw_ip(world: World) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@action
def vsock(world: World) -> None:
    socket.socket(40, socket.SOCK_STREAM).close()


@action
def af_alg(world: World) -> None:
    socket.socket(38, socket.SOCK_SEQPACKET).close()


@action
def abstract_host(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + world["abstract"])


@action
def listen_unix(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0moorage-listens")
        server.listen()
