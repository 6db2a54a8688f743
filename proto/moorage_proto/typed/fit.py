"""Whether a host can call what a plugin implements of an extension point, and what to do where it cannot. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Iterable, Tuple

from moorage_proto.methods import python_name
from moorage_proto.typed.compare import difference
from moorage_proto.typed.extension import Point


class Fit(enum.Enum):
    """How an implementation stands to the host's contract."""

    #: It implements this very version, and is called.
    CURRENT = "current"
    #: It implements an older version that the host still calls.
    OLD = "old"
    TOO_OLD = "too old"
    TOO_NEW = "too new"
    #: Its version is one that the host calls, and its types are others.
    DIFFERENT = "different"


@dataclass(frozen=True)
class Fitting:
    """One implementation, judged."""

    fit: Fit
    #: Which versions there are, and what to do; empty where there is nothing to do.
    sentence: str = ""
    #: Those that the host may call.
    methods: Tuple[str, ...] = ()


def fitting(point: Point, version: int, file: Any) -> Fitting:
    """``file`` is the FileDescriptorProto of what the plugin implements, which may hold anything."""
    if version > point.version:
        return Fitting(Fit.TOO_NEW, _too_new(point, version))
    if version not in (point.version, *point.compatible):
        return Fitting(Fit.TOO_OLD, _too_old(point, version))
    older = version != point.version
    problem = difference(point.contract.file, file, older=older) if len(file.service) == 1 else "it has no methods"
    if problem:
        return Fitting(Fit.DIFFERENT, _different(point, version, problem))
    implemented = {python_name(method.name) for method in file.service[0].method}
    methods = tuple(name for name in point.methods if name in implemented)
    return Fitting(Fit.OLD, _old(point, version), methods) if older else Fitting(Fit.CURRENT, methods=methods)


def _old(point: Point, version: int) -> str:
    return (
        f"It implements version {version} of {point.name}, and this host has version {point.version}: it is called, "
        f"and knows nothing of what was added since. Write it for version {point.version}."
    )


def _too_old(point: Point, version: int) -> str:
    called = _listed((*point.compatible, point.version))
    return (
        f"It implements version {version} of {point.name}, and this host calls {called}: it is not called. Write it "
        f"for version {point.version}, or install a version of the plugin that is."
    )


def _too_new(point: Point, version: int) -> str:
    called = _listed((*point.compatible, point.version))
    return (
        f"It implements version {version} of {point.name}, and this host calls {called}: it is not called. Upgrade the "
        f"application, or install a version of the plugin that was written for version {point.version}."
    )


def _different(point: Point, version: int, problem: str) -> str:
    return (
        f"It implements version {version} of {point.name} with other types than this host has: {problem}. It is not "
        "called. Use the application's own contract; a contract that has changed is another version."
    )


def _listed(versions: Iterable[int]) -> str:
    texts = list(map(str, versions))
    if len(texts) == 1:
        return f"version {texts[0]}"
    return f"versions {', '.join(texts[:-1])} and {texts[-1]}"
