"""What went wrong with a request that was allowed, in sentences. The library's own texts may hold what was sent."""

from __future__ import annotations

import ssl

import httpcore

from moorage_proto import http_pb2
from moorage_proto.http_pb2 import HttpFailure

_OF: tuple[tuple[type[Exception], HttpFailure.Kind, str], ...] = (
    (httpcore.ConnectTimeout, HttpFailure.CONNECT_TIMEOUT, "{origin} did not take a connection in time."),
    (
        httpcore.ProxyError,
        HttpFailure.CONNECT,
        "The proxy of this host did not connect to {origin}; its operator knows what it lets through.",
    ),
    (httpcore.ConnectError, HttpFailure.CONNECT, "Nobody takes connections at {origin}; check host and port."),
    (httpcore.ReadTimeout, HttpFailure.READ_TIMEOUT, "{origin} sent nothing for too long."),
    (httpcore.WriteTimeout, HttpFailure.WRITE_TIMEOUT, "{origin} took nothing of the request for too long."),
    (
        httpcore.PoolTimeout,
        HttpFailure.POOL_TIMEOUT,
        "As many requests to {origin} are in flight as may be, and none ended in time; close responses when they are"
        " read.",
    ),
    (httpcore.WriteError, HttpFailure.WRITE, "{origin} broke the connection while the request was sent."),
    (httpcore.ReadError, HttpFailure.READ, "{origin} broke the connection before the response was complete."),
    (
        httpcore.RemoteProtocolError,
        HttpFailure.PROTOCOL,
        "{origin} ended the connection before the response was complete, or what it sent is no HTTP.",
    ),
)

EXPECTED = tuple(kind for kind, _, _ in _OF)


def failure(error: Exception, origin: str) -> http_pb2.HttpReplyItem:
    """For one of ``EXPECTED``."""
    kind, text = next((kind, text) for class_, kind, text in _OF if isinstance(error, class_))
    reason = error.__cause__ or error.__context__
    if kind == HttpFailure.CONNECT and isinstance(reason, ssl.SSLCertVerificationError):
        text = "The certificate of {origin} is not trusted: " + reason.verify_message.rstrip(".") + "."
    elif kind == HttpFailure.CONNECT and isinstance(reason, ssl.SSLError):
        text = "{origin} does not speak TLS, or no version or cipher that this host speaks too."
    return _item(kind, text.replace("{origin}", origin))


def unknown_host(sentence: str) -> http_pb2.HttpReplyItem:
    return _item(HttpFailure.CONNECT, sentence)


def too_large(limit_bytes: int) -> http_pb2.HttpReplyItem:
    return _item(
        HttpFailure.TOO_LARGE, f"The response is larger than the {limit_bytes:,} bytes that this host passes on."
    )


def _item(kind: HttpFailure.Kind, message: str) -> http_pb2.HttpReplyItem:
    return http_pb2.HttpReplyItem(failure=HttpFailure(kind=kind, message=message))
