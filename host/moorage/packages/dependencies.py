"""What a plugin may depend on: packages by name and version, from the configured index; nothing by address."""

from __future__ import annotations

from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from moorage.packages.names import HOST_PROVIDED

_VCS = ("git+", "hg+", "svn+", "bzr+")


def parse_version(found: Any) -> str:
    """The normalised version (PEP 440). Raises ValueError."""
    if isinstance(found, str) and len(found) <= 64:
        try:
            return str(Version(found))
        except InvalidVersion:
            pass
    raise ValueError(f"{_shown(found)} is not a version; write one such as '1.2.0' (PEP 440)")


def parse_requires_python(found: Any) -> str:
    """Raises ValueError where it is not a version specifier."""
    if isinstance(found, str):
        try:
            return str(SpecifierSet(found))
        except InvalidSpecifier:
            pass
    raise ValueError(f"{_shown(found)} is not a version specifier; write one such as '>=3.9' or '==3.12.*'")


def parse_dependency(text: str) -> Requirement:
    """One entry of ``dependencies``. Raises ValueError with the rule that it breaks."""
    stripped = text.strip()
    if stripped.startswith("-"):
        raise ValueError(
            f"{_shown(text)} is an option of an installer; a dependency is a package name with versions. "
            "Indexes and editable installs are the operator's"
        )
    try:
        requirement = Requirement(stripped)
    except InvalidRequirement as error:
        if stripped.startswith(_VCS) or "://" in stripped:
            raise _by_address(text) from error
        raise ValueError(
            f"{_shown(text)} is not a dependency; write a package name with versions, such as 'httpx>=0.27'"
        ) from error
    if requirement.url is not None:
        raise _by_address(text)
    return requirement


def is_host_provided(requirement: Requirement) -> bool:
    return canonicalize_name(requirement.name) in HOST_PROVIDED


def _by_address(text: str) -> ValueError:
    return ValueError(
        f"{_shown(text)} is fetched from an address; only names and versions are allowed, "
        "so that every package comes from the operator's index or wheelhouse. Publish it there and name it"
    )


def _shown(found: object) -> str:
    text = ascii(found)
    return text if len(text) <= 80 else text[:77] + "..."
