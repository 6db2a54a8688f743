from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.manifest import Author, Limits, Trigger
from moorage.packages.manifest import ManifestInvalid, read_manifest
from moorage.packages.names import NameInvalid, normalised
from moorage_proto.capability import parse

FULL = """\
[project]
name = "Churn.Report"
version = "1.2"
description = "Reports user numbers"
authors = [{ name = "Ada", email = "ada@example.com" }, { name = "Grace" }]
license = { text = "MIT License\\nlong text" }
requires-python = ">=3.9"
dependencies = ["sqlalchemy>=2", "httpx[http2]", "moorage-sdk>=0.1", "Moorage_Proto"]
readme = "README.md"

[project.urls]
Home = "https://example.com/churn"

[build-system]
requires = ["anything"]

[tool.other]
unknown = true

[tool.moorage]
plugin = "churn.plugin:plugin"
prefer_python = ["3.9", "3.12"]
tags = ["AutoRun", "reporting"]
private_data = true
exclusive = true
reload = "in_turn"
required = [
  { allow = "sql.read:users", because = "counts users" },
  { allow = "kafka.produce:plugin-topic", because = "publishes the count" },
]
optional = [{ allow = "http.post:https://hooks.example.com/**", because = "posts to chat" }]

[[tool.moorage.triggers]]
cron = "0 6 * * mon-fri"
timezone = "Europe/Berlin"
task = "daily"

[[tool.moorage.triggers]]
interval = "90 s"

[[tool.moorage.triggers]]
startup = true

[tool.moorage.policy]
retries = 2
rate = "10/1 min"

[tool.moorage.limits]
memory = "512 MiB"
timeout = "5 min"
cpus = 0.5
bytes_per_second = "1 MiB"

[tool.moorage.config]
type = "object"
required = ["greeting"]
properties.greeting = { type = "string", default = "Hello" }
"""


def test_everything_that_a_manifest_can_say(make_project) -> None:
    manifest = read_manifest(make_project(FULL))
    assert (manifest.name, manifest.version, manifest.entry_point) == ("churn-report", "1.2", "churn.plugin:plugin")
    assert manifest.authors == (Author("Ada", "ada@example.com"), Author("Grace"))
    assert manifest.license == "MIT License"
    assert manifest.urls == {"Home": "https://example.com/churn"}
    assert manifest.tags == {"AutoRun", "reporting"}
    assert manifest.requires_python == ">=3.9"
    assert manifest.prefer_python == ("3.9", "3.12")
    assert manifest.dependencies == ("sqlalchemy>=2", "httpx[http2]")
    assert [(str(r.capability), r.required) for r in manifest.capabilities] == [
        ("sql.read:users", True),
        ("kafka.produce:plugin-topic", True),
        ("http.post:https://hooks.example.com/**", False),
    ]
    assert manifest.required == (parse("sql.read:users"), parse("kafka.produce:plugin-topic"))
    assert manifest.triggers == (
        Trigger("cron", "0 6 * * mon-fri", "daily", {"timezone": "Europe/Berlin"}, "cron"),
        Trigger("interval", "1 min 30 s", name="interval"),
        Trigger("startup", "", name="startup"),
    )
    assert manifest.policy == {"retries": 2, "rate": "10/60s"}
    assert manifest.limits == Limits(
        memory_bytes=512 * 1024**2, timeout=timedelta(minutes=5), cpus=0.5, bytes_per_second=1024**2
    )
    assert manifest.config_schema["properties"]["greeting"]["default"] == "Hello"
    assert manifest.private_data
    assert manifest.exclusive
    assert manifest.reload == "in_turn"


def test_the_least_that_a_manifest_can_say(make_project) -> None:
    manifest = read_manifest(make_project())
    assert manifest.limits == Limits()
    assert manifest.capabilities == ()


def test_settings_are_an_object_without_saying_so(make_project) -> None:
    text = _with(moorage="config.properties.greeting = { type = 'string' }")
    assert read_manifest(make_project(text)).config_schema == {
        "type": "object",
        "properties": {"greeting": {"type": "string"}},
    }


def test_a_module_below_src_is_found(make_project) -> None:
    assert read_manifest(make_project(module="src/churn/plugin/__init__.py")).name == "churn"


def _with(project: str = "", moorage: str = "", **replaced: str) -> str:
    lines = {"name": 'name = "churn"', "version": 'version = "1.0"', "plugin": 'plugin = "churn.plugin:plugin"'}
    lines.update(replaced)
    return f"[project]\n{lines['name']}\n{lines['version']}\n{project}\n[tool.moorage]\n{lines['plugin']}\n{moorage}\n"


def _asked(capability: str) -> str:
    return f"{{ allow = '{capability}', because = 'x' }}"


# Text, line, key, and words of the sentence.
BAD = {
    "malformed": ("[project\n", 1, "", "this is not TOML"),
    "malformed later": ("a = 1\nb = \n", 2, "", "this is not TOML"),
    "without an end": ("a = 1\nb = [\n", 2, "", "this is not TOML"),
    "twice": ("a = 1\na = 2\n", 2, "", "this is not TOML"),
    "long key": ("a = 1\n" + "a." * 100_000 + "b = 1", 2, "", "a key has more than 100 parts"),
    "deep": ("a = " + "[" * 5000 + "]" * 5000, 1, "", "nested too deeply"),
    "huge integer": (f"a = {'9' * 5000}\n", 1, "", "this is not TOML"),
    "empty": ("", 1, "tool.moorage", "this table is missing"),
    "no project": ("[tool.moorage]\nplugin = 'churn.plugin:plugin'", 1, "project", "this table is missing"),
    "project no table": (
        "project = 1\n[tool.moorage]\nplugin = 'churn.plugin:plugin'",
        1,
        "project",
        "has to be a table",
    ),
    "no name": (_with(name=""), 1, "project.name", "this key is missing"),
    "no version": (_with(version=""), 1, "project.version", "this key is missing; write the version down"),
    "dynamic version": (_with('dynamic = ["version"]', version=""), 4, "project.dynamic[0]", "left to a build"),
    "version": (_with(version="version = 'new'"), 3, "project.version", "'new' is not a version"),
    "version type": (_with(version="version = 1.0"), 3, "project.version", "is not a version"),
    "name path": (_with(name='name = "../x"'), 2, "project.name", "'../x' is not a name"),
    "name lookalike": (_with(name='name = "\\u0441hurn"'), 2, "project.name", "'\\u0441hurn' is not a name"),
    "name newline": (_with(name='name = "churn\\n"'), 2, "project.name", "is not a name"),
    "name digits": (_with(name='name = "chur\\u0663"'), 2, "project.name", "is not a name"),
    "name long": (_with(name=f'name = "{"x" * 65}"'), 2, "project.name", "1 to 64 ASCII letters"),
    "name ours": (_with(name='name = "Moorage_SDK"'), 2, "project.name", "a part of Moorage itself"),
    "unknown in project": (_with("dependancies = []"), 4, "project.dependancies", "did you mean 'dependencies'?"),
    "unknown": (_with(moorage="tag = []"), 7, "tool.moorage.tag", "unknown key; did you mean 'tags'?"),
    "unknown, far": (_with(moorage="zzzzzz = []"), 7, "tool.moorage.zzzzzz", "unknown key; known here are"),
    "start": (_with(moorage="start = 'fresh'"), 7, "tool.moorage.start", "the operator's choice"),
    "no entry point": (_with(plugin=""), 5, "tool.moorage.plugin", "this key is missing"),
    "entry point": (_with(plugin="plugin = 'churn'"), 6, "tool.moorage.plugin", "is not an entry point"),
    "entry point path": (_with(plugin="plugin = '../x:y'"), 6, "tool.moorage.plugin", "is not an entry point"),
    "entry point keyword": (
        _with(plugin="plugin = 'churn.class:y'"),
        6,
        "tool.moorage.plugin",
        "is not an entry point",
    ),
    "entry point module": (
        _with(plugin="plugin = 'churn.plug:plugin'"),
        6,
        "tool.moorage.plugin",
        "no module 'churn.plug': there is neither churn/plug.py nor churn/plug/__init__.py",
    ),
    "entry point stdlib": (_with(plugin="plugin = 'json:x'"), 6, "tool.moorage.plugin", "one of Python's own"),
    "several plugins": (_with(plugin="plugin = ['a:b', 'c:d']"), 6, "tool.moorage.plugin", "split them"),
    "array of plugins": (
        '[project]\nname = "a"\nversion = "1"\n[[tool.moorage]]\nplugin = "churn.plugin:plugin"',
        4,
        "tool.moorage",
        "has to be a table",
    ),
    "description": (_with("description = 3"), 4, "project.description", "this is a whole number and has to be a text"),
    "description lines": (_with('description = "a\\nb"'), 4, "project.description", "invisible character U+000A"),
    "bidi": (_with('description = "a\\u202eb"'), 4, "project.description", "invisible character U+202E"),
    "author": (_with("authors = [{}]"), 4, "project.authors[0]", "a name, an email or both"),
    "author text": (_with('authors = ["Ada"]'), 4, "project.authors[0]", "has to be a table"),
    "url": (_with('urls = { Home = "javascript:x" }'), 4, "project.urls.Home", "begins with http://"),
    "url label": (
        _with('urls = { "a\\nRequires-Dist: evil" = "https://x" }'),
        4,
        'project.urls."a\\nRequires-Dist: evil"',
        "visible characters",
    ),
    "key for terminals": (_with(moorage='"\\u001b[2J" = 1'), 7, 'tool.moorage."\\u001b[2J"', "unknown key"),
    "requires-python": (_with('requires-python = "3.9+"'), 4, "project.requires-python", "not a version specifier"),
    "prefer_python": (_with(moorage='prefer_python = ["3"]'), 7, "tool.moorage.prefer_python[0]", "such as '3.12'"),
    "dependency": (_with('dependencies = ["a b"]'), 4, "project.dependencies[0]", "is not a dependency"),
    "dependency type": (_with("dependencies = [1]"), 4, "project.dependencies[0]", "has to be a text"),
    "direct url": (_with('dependencies = ["a @ https://x/a.whl"]'), 4, "project.dependencies[0]", "from an address"),
    "file url": (_with('dependencies = ["a @ file:///a"]'), 4, "project.dependencies[0]", "from an address"),
    "vcs": (_with('dependencies = ["git+https://x/a"]'), 4, "project.dependencies[0]", "from an address"),
    "editable": (_with('dependencies = ["-e ."]'), 4, "project.dependencies[0]", "an option of an installer"),
    "index": (_with('dependencies = ["--index-url https://x"]'), 4, "project.dependencies[0]", "an option"),
    "path": (_with('dependencies = ["./a"]'), 4, "project.dependencies[0]", "is not a dependency"),
    "second line": (_with('dependencies = [\n"idna",\n"a @ x://y"]'), 6, "project.dependencies[1]", "from an address"),
    "smuggled line": (_with('dependencies = ["idna\\n-e ."]'), 4, "project.dependencies[0]", "invisible character"),
    "tag": (_with(moorage="tags = ['a b']"), 7, "tool.moorage.tags[0]", "is not a tag"),
    "tags": (_with(moorage="tags = 'a'"), 7, "tool.moorage.tags", "this is a text and has to be a list"),
    "capability": (
        _with(moorage="required = [{ allow = 'sql:users', because = 'x' }]"),
        7,
        "tool.moorage.required[0].allow",
        "'sql:users' is not a capability: 'sql' is not of the form service.verb",
    ),
    "capability text": (
        _with(moorage="required = ['sql.read:users']"),
        7,
        "tool.moorage.required[0]",
        "has to be a table",
    ),
    "no allow": (_with(moorage="optional = [{ because = 'x' }]"), 7, "tool.moorage.optional[0].allow", "is missing"),
    "no because": (
        _with(moorage="required = [\n{ allow = 'sql.read:a', because = 'x' },\n{ allow = 'sql.read:b' },\n]"),
        9,
        "tool.moorage.required[1].because",
        "is missing; it tells the person who grants",
    ),
    "empty because": (
        _with(moorage="required = [{ allow = 'sql.read:a', because = '' }]"),
        7,
        "tool.moorage.required[0].because",
        "this is empty",
    ),
    "capability twice": (
        _with(
            moorage="required = [{ allow = 'sql.read:a', because = 'x' }]\n"
            "optional = [{ allow = 'sql.read:main/a', because = 'x' }]"
        ),
        8,
        "tool.moorage.optional[0].allow",
        "sql.read:a is requested a second time",
    ),
    "schema, too much": (
        _with(moorage=f"config.properties.size = {{ enum = [{', '.join(map(str, range(2000)))}] }}"),
        7,
        "tool.moorage.config",
        "it has more than 2,000 keys and values",
    ),
    "capabilities, too many": (
        _with(moorage=f"required = [{', '.join(_asked(f'sql.read:t{number}') for number in range(301))}]"),
        7,
        "tool.moorage.required[300]",
        "at most 300 capabilities, of 16,000 characters together",
    ),
    "capabilities, too much": (
        _with(moorage=f"required = [{', '.join(_asked(f'sql.read:{number:0900}') for number in range(20))}]"),
        7,
        "tool.moorage.required[18]",
        "at most 300 capabilities, of 16,000 characters together",
    ),
    "capability key": (
        _with(moorage="required = [{ allow = 'sql.read:a', because = 'x', becuase = 'y' }]"),
        7,
        "tool.moorage.required[0].becuase",
        "did you mean 'because'?",
    ),
    "trigger none": (_with(moorage="[[tool.moorage.triggers]]"), 7, "tool.moorage.triggers[0]", "it names none"),
    "trigger two": (
        _with(moorage="[[tool.moorage.triggers]]\ncron = '* * * * *'\ninterval = '1 h'"),
        7,
        "tool.moorage.triggers[0]",
        "it names interval and cron",
    ),
    "trigger cron": (
        _with(moorage="[[tool.moorage.triggers]]\ncron = '60 6 * * *'"),
        8,
        "tool.moorage.triggers[0].cron",
        "'60' is not allowed as minute",
    ),
    "trigger cron fields": (
        _with(moorage="triggers = [{ cron = '* *' }]"),
        7,
        "tool.moorage.triggers[0].cron",
        "minute, hour",
    ),
    "trigger zone": (
        _with(moorage="triggers = [{ cron = '* * * * *', timezone = '../etc/passwd' }]"),
        7,
        "tool.moorage.triggers[0].timezone",
        "is not a time zone",
    ),
    "trigger option": (
        _with(moorage="triggers = [{ interval = '1 h', timezone = 'UTC' }]"),
        7,
        "tool.moorage.triggers[0].timezone",
        "unknown key",
    ),
    "trigger interval": (
        _with(moorage="triggers = [{ interval = 0 }]"),
        7,
        "tool.moorage.triggers[0].interval",
        "at least 1 s",
    ),
    "trigger topic": (
        _with(moorage="triggers = [{ kafka = 'a b' }]"),
        7,
        "tool.moorage.triggers[0].kafka",
        "a topic is",
    ),
    "trigger task": (
        _with(moorage="triggers = [{ startup = true, task = 'a-b' }]"),
        7,
        "tool.moorage.triggers[0].task",
        "named as a Python function",
    ),
    "memory": (_with(moorage="limits.memory = '256 Mb'"), 7, "tool.moorage.limits.memory", "'256 Mb' is not a size"),
    "memory bounds": (_with(moorage="limits.memory = 1"), 7, "tool.moorage.limits.memory", "write 32 MiB to 1 TiB"),
    "timeout": (_with(moorage="limits.timeout = 'soon'"), 7, "tool.moorage.limits.timeout", "is not a duration"),
    "timeout bounds": (_with(moorage="limits.timeout = '1 ms'"), 7, "tool.moorage.limits.timeout", "1 s to 30 d"),
    "pids": (_with(moorage="limits.pids = true"), 7, "tool.moorage.limits.pids", "has to be a whole number"),
    "pids bounds": (_with(moorage="limits.pids = 99999"), 7, "tool.moorage.limits.pids", "99999 is out of bounds"),
    "cpus": (_with(moorage="limits.cpus = nan"), 7, "tool.moorage.limits.cpus", "is out of bounds"),
    "limit": (_with(moorage="limits.mem = 1"), 7, "tool.moorage.limits.mem", "did you mean 'memory'?"),
    "private_data": (_with(moorage="private_data = 1"), 7, "tool.moorage.private_data", "has to be true or false"),
    "exclusive": (_with(moorage="exclusive = 'yes'"), 7, "tool.moorage.exclusive", "has to be true or false"),
    "reload": (_with(moorage="reload = 'inturn'"), 7, "tool.moorage.reload", "write 'beside' (both versions"),
    "reload type": (_with(moorage="reload = true"), 7, "tool.moorage.reload", "True is no way to reload"),
    "config type": (
        _with(moorage="config = { type = 'array' }"),
        7,
        "tool.moorage.config.type",
        "settings are an object",
    ),
    "config key": (
        _with(moorage="config = { type = 'object', propertys = {} }"),
        7,
        "tool.moorage.config.propertys",
        "did you mean 'properties'?",
    ),
    "config reference": (
        _with(moorage="config = { type = 'object', '$ref' = 'https://x' }"),
        7,
        'tool.moorage.config."$ref"',
        "unknown keyword",
    ),
    "config pattern": (
        _with(moorage="[tool.moorage.config]\ntype = 'object'\nproperties.a = { pattern = '(a+)+$' }"),
        9,
        "tool.moorage.config.properties.a.pattern",
        "unknown keyword",
    ),
    "config property": (
        _with(moorage="config = { type = 'object', properties = { 'a b' = {} } }"),
        7,
        'tool.moorage.config.properties."a b"',
        "is not the name of a setting",
    ),
    "config property text": (
        _with(moorage="config = { type = 'object', properties = { a = 'string' } }"),
        7,
        "tool.moorage.config.properties.a",
        "described by a table",
    ),
    "config property type": (
        _with(moorage="config = { type = 'object', properties = { a = { type = 'text' } } }"),
        7,
        "tool.moorage.config.properties.a.type",
        "'text' is not a type",
    ),
    "config required": (
        _with(moorage="config = { type = 'object', required = ['a'] }"),
        7,
        "tool.moorage.config.required[0]",
        "properties do not describe it",
    ),
    "config date": (
        _with(moorage="config = { type = 'object', properties = { a = { default = 1979-05-27 } } }"),
        7,
        "tool.moorage.config.properties.a.default",
        "that JSON can hold",
    ),
}


@pytest.mark.parametrize(("text", "line", "key", "words"), BAD.values(), ids=list(BAD))
def test_each_problem_has_its_line_key_and_sentence(make_project, text: str, line: int, key: str, words: str) -> None:
    folder = make_project(text)
    with pytest.raises(ManifestInvalid) as raised:
        read_manifest(folder)
    problem = next(problem for problem in raised.value.problems if problem.key == key)
    assert problem.line == line
    assert words in problem.sentence
    assert str(raised.value).startswith(f"{folder / 'pyproject.toml'}:")
    assert problem.sentence[-1] in ".?"
    assert not problem.sentence.endswith(("..", "?."))


def test_all_problems_are_reported_at_once_in_the_order_of_lines(make_project) -> None:
    text = _with("dependencies = ['-e .', 'b @ x://y']", "limits.memory = 'x'\ntag = 1", version="")
    with pytest.raises(ManifestInvalid) as raised:
        read_manifest(make_project(text))
    assert [problem.key for problem in raised.value.problems] == [
        "project.version",
        "project.dependencies[0]",
        "project.dependencies[1]",
        "tool.moorage.limits.memory",
        "tool.moorage.tag",
    ]
    assert len(str(raised.value).splitlines()) == 5


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="No such file or directory; a plugin's folder holds one"):
        read_manifest(tmp_path)


@pytest.mark.timeout(5)
def test_a_pipe_in_the_place_of_a_manifest_does_not_hold_up_the_host(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pyproject.toml")
    with pytest.raises(ManifestInvalid, match="it is not a regular file"):
        read_manifest(tmp_path)


def test_an_endless_manifest(tmp_path: Path) -> None:
    with (tmp_path / "pyproject.toml").open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(ManifestInvalid, match="longer than 1048576 bytes"):
        read_manifest(tmp_path)


def test_a_manifest_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes('name = "Jürgen"'.encode("latin-1"))
    with pytest.raises(ManifestInvalid, match="it is not UTF-8 text"):
        read_manifest(tmp_path)


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True))
def test_normalising_a_name_twice_changes_nothing(name: str) -> None:
    try:
        once = normalised(name)
    except NameInvalid:
        assert name.lower().replace("_", "-").replace(".", "-").startswith("moorage")
        return
    assert normalised(once) == once
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.text(max_size=20))
def test_a_name_is_ascii_or_refused(name: str) -> None:
    try:
        said = normalised(name)
    except NameInvalid as error:
        said = str(error)
    assert said.isascii()


def test_of_very_many_problems_some_are_told(make_project) -> None:
    folder = make_project(_with(moorage="\n".join(f"k{number} = 1" for number in range(10_000))))
    with pytest.raises(ManifestInvalid, match="9,900 more problems are not shown") as raised:
        read_manifest(folder)
    assert len(str(raised.value).splitlines()) == 101


def test_what_is_ordinary_has_many_dots_too(make_project) -> None:
    versions = ", ".join(f'"package-{number}>=1.2.3,<2.0.0"' for number in range(200))
    sentence = "It is one. It is another. " * 30
    folder = make_project(_with(f"description = '{sentence.strip()}'\ndependencies = [{versions}]"))
    assert len(read_manifest(folder).dependencies) == 200
