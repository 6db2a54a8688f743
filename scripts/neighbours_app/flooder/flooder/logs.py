"""Floods of words."""

import logging
import os
from collections import Counter
from typing import Dict

from flooder.base import Until, in_threads, plugin
from moorage_sdk import Context


@plugin.task
def log_records(log: logging.Logger, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            log.warning("one of very many records, number %d", counts["records"], extra={"number": counts["records"]})
            counts["records"] += 1

    return in_threads(4, work)


@plugin.task
def log_long_records(log: logging.Logger, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)
    text = "long " * 12_000

    def work(counts: Counter) -> None:
        while until.on:
            log.warning(text)
            counts["records"] += 1

    return in_threads(2, work)


@plugin.task
def short_lines(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return _write(input, b"short line\n" * 3_000, 3_000)


@plugin.task
def empty_lines(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return _write(input, b"\n" * 32_768, 32_768)


@plugin.task
def endless_line(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return _write(input, b"endless" * 5_000, 0)


@plugin.task
def progress(ctx: Context, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            ctx.progress(0.5, "p" * 400)
            counts["reports"] += 1

    return in_threads(4, work)


def _write(seconds: float, data: bytes, lines: int) -> Dict[str, int]:
    until = Until(seconds)

    def work(counts: Counter) -> None:
        while until.on:
            counts["bytes"] += os.write(1, data) + os.write(2, data)
            counts["lines"] += 2 * lines

    return in_threads(2, work)
