"""Reads a plugin's manifest from its ``pyproject.toml``: strictly, all problems at once, importing nothing of it."""

from __future__ import annotations

import keyword
import re
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from moorage.models.manifest import Author, Limits, Manifest, ReloadMode, RequestedCapability
from moorage.packages.dependencies import (
    is_host_provided,
    parse_dependency,
    parse_requires_python,
    parse_version,
)
from moorage.packages.document import Document, ManifestInvalid, Problem, read_document
from moorage.packages.names import normalised
from moorage.packages.policies import read_policy
from moorage.packages.schema_check import check_schema
from moorage.packages.tables import Table, one_of
from moorage.packages.triggers import read_triggers
from moorage.packages.units import format_duration, format_size, parse_duration, parse_size
from moorage_proto.capability import STORAGE_USE, Capability, CapabilityInvalid, parse

#: What Moorage reads of ``[project]``.
_PROJECT_KEYS = (
    "name",
    "version",
    "description",
    "authors",
    "license",
    "urls",
    "requires-python",
    "dependencies",
)
#: The rest of the standard: https://packaging.python.org/specifications/pyproject-toml/.
_OTHER_PROJECT_KEYS = (
    "readme",
    "license-files",
    "maintainers",
    "keywords",
    "classifiers",
    "scripts",
    "gui-scripts",
    "entry-points",
    "optional-dependencies",
    "import-names",
    "import-namespaces",
    "dynamic",
)
_ENTRY_POINT = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PYTHON = re.compile(r"3\.[0-9]{1,3}")
_URL = re.compile(r"https?://[\x21-\x7e]{1,1000}")

#: Each is compared with each that was granted, and read by a person.
MAX_CAPABILITIES = 300
MAX_CAPABILITIES_CHARACTERS = 16_000

_KIB = 1024
_MIB = 1024 * _KIB
_TIB = 1024 * 1024 * _MIB
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the plugin in a folder.

    Raises ManifestInvalid with a sentence for each problem: file, line, key, rule and remedy.
    """
    return parse_manifest(read_document(folder))


def parse_manifest(document: Document) -> Manifest:
    """The manifest in a document. Raises ManifestInvalid."""
    problems: list[Problem] = []
    root = Table(document, (), document.data, problems)
    if not document.is_plugin:
        root.problem("this table is missing; a plugin's project has one, with the key 'plugin'.", "tool", "moorage")
        raise ManifestInvalid(document.file, tuple(problems))
    manifest = _read(root, document)
    if problems:
        problems.sort(key=lambda problem: problem.line)
        raise ManifestInvalid(document.file, tuple(problems))
    return manifest


def _read(root: Table, document: Document) -> Manifest:
    if not root.has("project"):
        root.problem("this table is missing; it holds at least name and version.", "project")
        project = Table(document, ("project",), {}, [])
    else:
        project = root.table("project")
    tool = root.table("tool").table("moorage")
    capabilities, private_data = _read_capabilities(tool), tool.value("private_data", bool)
    tags = _read_tags(tool)
    if private_data is None:
        # Whoever asks for room keeps files there.
        private_data = any(request.capability.verb == STORAGE_USE for request in capabilities)
    manifest = Manifest(
        name=_required(project, "name", normalised, "a plugin is known by its project's name"),
        version=_required(project, "version", parse_version, "write the version down: Moorage runs no build"),
        entry_point=_read_entry_point(tool, document.file.parent),
        description=project.text("description"),
        authors=_read_authors(project),
        license=_read_license(project),
        urls=_read_urls(project.table("urls")),
        tags=tags,
        requires_python=project.parsed("requires-python", parse_requires_python, ""),
        prefer_python=_read_prefer_python(tool),
        dependencies=_read_dependencies(project),
        capabilities=capabilities,
        triggers=read_triggers(tool, tags),
        limits=_read_limits(tool.table("limits")),
        policy=read_policy(tool.table("policy")),
        config_schema=_read_config_schema(tool),
        private_data=private_data,
        exclusive=tool.value("exclusive", bool) or False,
        reload=tool.parsed("reload", parse_reload_mode, None),
    )
    _check_dynamic(project)
    project.know(*_OTHER_PROJECT_KEYS)
    project.close()
    if tool.has("start"):
        tool.know("start")
        tool.problem("how a worker starts is the operator's choice; it belongs in the host's configuration.", "start")
    tool.close()
    return manifest


def _required(table: Table, key: str, parse_value: Any, why: str) -> str:
    if not table.has(key):
        table.know(key)
        table.problem(f"this key is missing; {why}.", key)
        return ""
    return str(table.parsed(key, parse_value, ""))


def parse_reload_mode(text: Any) -> ReloadMode | None:
    """Raises ValueError."""
    if text == "beside":
        return "beside"
    if text == "in_turn":
        return "in_turn"
    raise ValueError(
        f"{text!r:.80} is no way to reload; write 'beside' (both versions at one time) or 'in_turn' (one after the "
        "other)"
    )


def _check_dynamic(project: Table) -> None:
    for index, key in project.texts("dynamic"):
        if key in _PROJECT_KEYS:
            project.problem(
                f"{key!r} is left to a build, and Moorage runs none to read a manifest; write it down.",
                "dynamic",
                index,
            )


def _read_entry_point(tool: Table, folder: Path) -> str:
    if isinstance(tool.raw("plugin"), list) or tool.has("plugins"):
        tool.know("plugins")
        tool.problem(
            "a folder holds one plugin; split them into a folder with a pyproject.toml for each.",
            "plugins" if tool.has("plugins") else "plugin",
        )
        return ""
    text = tool.required_text("plugin", "it names module and variable, such as 'churn.plugin:plugin'")
    if not text:
        return ""
    match = _ENTRY_POINT.fullmatch(text)
    if match is None or any(keyword.iskeyword(part) for part in re.split(r"[.:]", text)):
        tool.problem(
            f"{text!r:.80} is not an entry point; write module and variable, such as 'churn.plugin:plugin'.", "plugin"
        )
        return ""
    module = match["module"]
    if module.partition(".")[0] in sys.stdlib_module_names:
        tool.problem(f"the module {module!r} has the name of one of Python's own; rename the package.", "plugin")
    elif find_code_root(folder, module) is None:
        path = module.replace(".", "/")
        tool.problem(
            f"the plugin's folder has no module {module!r}: "
            f"there is neither {path}.py nor {path}/__init__.py, nor either of them below src/.",
            "plugin",
        )
    return text


def find_code_root(folder: Path, module: str) -> str | None:
    """Below which part of a plugin's folder its module lies: "src", or "" for the folder itself; None: nowhere."""
    path = module.replace(".", "/")
    for root in ("src", ""):
        if any((folder / root / file).is_file() for file in (f"{path}.py", f"{path}/__init__.py")):
            return root
    return None


def _read_authors(project: Table) -> tuple[Author, ...]:
    authors = []
    for entry in project.tables("authors"):
        author = Author(entry.text("name", longest=200), entry.text("email", longest=320))
        entry.close()
        if author.name or author.email:
            authors.append(author)
        else:
            entry.problem("an author has a name, an email or both.")
    return tuple(authors)


def _read_license(project: Table) -> str:
    if not isinstance(project.raw("license"), dict):
        return project.text("license")
    table = project.table("license")
    table.know("text", "file")
    table.close()
    # A whole licence text is no label for people; its first line is.
    text = table.value("text", str) or table.value("file", str) or ""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line[:200] if line.isprintable() else ""


def _read_urls(table: Table) -> dict[str, str]:
    parse_url = one_of(_URL, "an address begins with http:// or https:// and holds no space")
    urls = {}
    for label in table:
        if not label.isprintable() or len(label) > 32:  # PyPI's bound
            table.problem("a label is at most 32 visible characters long.", label)
        urls[label] = table.parsed(label, parse_url, "")
    return urls


def _read_tags(tool: Table) -> frozenset[str]:
    tags = set()
    for index, tag in tool.texts("tags"):
        if not _TAG.fullmatch(tag):
            tool.problem(f"{tag!r:.80} is not a tag; write ASCII letters, digits, '.', '_' and '-'.", "tags", index)
        tags.add(tag)
    return frozenset(tags)


def _read_dependencies(project: Table) -> tuple[str, ...]:
    dependencies = []
    for index, text in project.texts("dependencies"):
        try:
            requirement = parse_dependency(text)
        except ValueError as error:
            project.problem(f"{error}.", "dependencies", index)
            continue
        if not is_host_provided(requirement):
            dependencies.append(str(requirement))
    return tuple(dependencies)


def _read_prefer_python(tool: Table) -> tuple[str, ...]:
    versions = []
    for index, text in tool.texts("prefer_python"):
        if not _PYTHON.fullmatch(text):
            tool.problem(f"{text!r:.80} is not a version of Python; write one such as '3.12'.", "prefer_python", index)
        versions.append(text)
    return tuple(versions)


def _read_capabilities(tool: Table) -> tuple[RequestedCapability, ...]:
    requests: dict[Capability, RequestedCapability] = {}
    characters = 0
    for key in ("required", "optional"):
        for entry in tool.tables(key):
            if len(requests) == MAX_CAPABILITIES or characters > MAX_CAPABILITIES_CHARACTERS:
                entry.problem(
                    f"a manifest asks for at most {MAX_CAPABILITIES} capabilities, of {MAX_CAPABILITIES_CHARACTERS:,} "
                    "characters together; ask for fewer, with * where names begin alike."
                )
                return tuple(requests.values())
            request = _read_capability(entry, required=key == "required")
            if request is None:
                continue
            if request.capability in requests:
                entry.problem(f"{request.capability} is requested a second time; keep one of the two.", "allow")
            requests.setdefault(request.capability, request)
            characters += len(str(request.capability))
    return tuple(requests.values())


def _read_capability(entry: Table, *, required: bool) -> RequestedCapability | None:
    text = entry.required_text("allow", "it names a capability, such as 'sql.read:users'")
    because = entry.required_text("because", "it tells the person who grants what the capability is for")
    entry.close()
    if not text:
        return None
    try:
        return RequestedCapability(parse(text), because, required)
    except CapabilityInvalid as error:
        entry.problem(f"{error}.", "allow")
        return None


def _read_limits(table: Table) -> Limits:
    default = Limits()
    limits = Limits(
        memory_bytes=table.parsed("memory", partial(_size_within, 32 * _MIB, _TIB), default.memory_bytes),
        data_bytes=table.parsed("data", partial(_size_within, _KIB, _TIB), default.data_bytes),
        data_files=_count(table, "data_files", 10, 10_000_000, default.data_files),
        timeout=table.parsed("timeout", partial(_duration_within, 30 * _DAY), default.timeout),
        pids=_count(table, "pids", 8, 4096, default.pids),
        start_timeout=table.parsed("start_timeout", partial(_duration_within, _DAY), default.start_timeout),
        drain_timeout=table.parsed("drain_timeout", partial(_duration_within, _DAY), default.drain_timeout),
        concurrency=_count(table, "concurrency", 1, 1024, default.concurrency),
        cpus=_cpus(table),
        calls_per_second=_count(table, "calls_per_second", 1, 1_000_000, int(default.calls_per_second)),
        calls_in_flight=_count(table, "calls_in_flight", 1, 65_536, default.calls_in_flight),
        bytes_per_second=table.parsed("bytes_per_second", partial(_size_within, 1024, _TIB), default.bytes_per_second),
    )
    table.close()
    return limits


def _size_within(least: int, most: int, found: Any) -> int:
    size = parse_size(found)
    if not least <= size <= most:
        raise ValueError(f"{found!r:.40} is out of bounds; write {format_size(least)} to {format_size(most)}")
    return size


def _duration_within(most: timedelta, found: Any) -> timedelta:
    duration = parse_duration(found)
    if not _SECOND <= duration <= most:
        raise ValueError(f"{found!r:.40} is out of bounds; write 1 s to {format_duration(most)}")
    return duration


def _count(table: Table, key: str, least: int, most: int, default: int) -> int:
    count = table.value(key, int)
    if count is None:
        return default
    if not least <= count <= most:
        table.problem(f"{_shortened(count)} is out of bounds; write {least} to {most}.", key)
        return default
    return count


def _cpus(table: Table) -> float | None:
    cpus = table.value("cpus", float)
    if cpus is not None and not 0.01 <= cpus <= 1024:  # also catches nan
        table.problem(f"{_shortened(cpus)} is out of bounds; write cores such as 0.5, from 0.01 to 1024.", "cpus")
        return None
    return cpus


def _shortened(number: float) -> str:
    # A text of an integer with thousands of digits would be refused by Python itself.
    return f"{number}" if abs(number) < 1e15 else "this"


def _read_config_schema(tool: Table) -> dict[str, Any]:
    schema = tool.value("config", dict)
    if not schema:
        return {}
    for path, sentence in check_schema(schema):
        tool.problem(sentence, "config", *path)
    return {"type": "object", **schema}
