"""A project as an author has it: its own folder, pyproject.toml and tests, run by a pytest of its own."""

import os
import subprocess
import sys
import textwrap

import pytest
import tomllib
from sqlalchemy import Column, Integer
from sqlalchemy.orm import declarative_base

from moorage_proto.capability import need
from moorage_proto.learning import Learnt
from moorage_sdk import Plugin
from moorage_sdk.sql import Connection
from moorage_sdk.testing import ManifestMissing, Moorage, find_manifest

PYPROJECT = """
    [project]
    name = "churn"
    version = "1.0"

    [tool.moorage]
    plugin = "churn:plugin"
    required = [{ allow = "kafka.produce:plugin-topic", because = "publishes" }]
    optional = [{ allow = "config.read:**", because = "greets" }]

    [tool.moorage.config.properties.greeting]
    type = "string"
    default = "Hello"

    [tool.moorage.config.properties.mail]
    type = "object"
    properties.from = { type = "string", default = "a@b" }
"""

PLUGIN = """
    from moorage_sdk import Plugin
    from moorage_sdk.config import Config
    from moorage_sdk.kafka import Producer

    plugin = Plugin()


    @plugin.task
    def execute(kafka: Producer, config: Config) -> str:
        kafka.send("plugin-topic", config["greeting"])
        return config["mail.from"]


    @plugin.task
    def elsewhere(kafka: Producer) -> None:
        kafka.send("elsewhere", "x").result(timeout=5)
"""

TESTS = """
    import pytest
    from churn import elsewhere, execute
    from moorage_sdk import CapabilityMissing


    def test_greets(moorage):
        assert moorage.run(execute).result == "a@b"
        assert moorage.kafka.values("plugin-topic") == [b"Hello"]


    def test_by_name_and_with_settings(moorage):
        moorage.config["greeting"] = "Moin"
        assert moorage.run("execute", config={"mail.from": "c@d"}).result == "c@d"
        assert moorage.kafka.values("plugin-topic") == [b"Moin"]


    def test_the_gate_is_real(moorage):
        with pytest.raises(CapabilityMissing, match="lacks the capability kafka.produce:elsewhere; request it under"):
            moorage.run(elsewhere).result
        moorage.grant("kafka.produce:elsewhere")
        moorage.run(elsewhere).result


    def test_unknown_names(moorage):
        with pytest.raises(AttributeError, match="no fake named 'redos'; there are: config"):
            moorage.redos
        with pytest.raises(TypeError, match="is no task"):
            moorage.run(len)
        assert "there is no task 'dance'" in str(moorage.run("dance").error)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT))
    (tmp_path / "churn.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "tests" / "test_churn.py").write_text(textwrap.dedent(TESTS))
    return tmp_path


def run_tests(project, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.system
def test_an_authors_tests_run(project):
    done = run_tests(project)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert "allow =" not in done.stdout


@pytest.mark.system
def test_an_authors_tests_teach_the_manifest(project):
    done = run_tests(project, "--moorage-learn", "-k", "greets or name")
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert "# churn: under [tool.moorage] in its pyproject.toml\n" in done.stdout
    lines = done.stdout[done.stdout.index("required = [") :].rpartition("]\n")
    assert tomllib.loads("".join(lines[:2])) == {
        "required": [{"allow": "kafka.produce:plugin-topic", "because": "publishes"}],
        "optional": [
            {"allow": "config.read:greeting", "because": "greets"},
            {"allow": "config.read:mail.from", "because": "greets"},
        ],
    }


@pytest.mark.system
def test_without_the_fixture_there_is_nothing_to_learn(project):
    (project / "tests" / "test_churn.py").write_text("def test_nothing(): ...\n")
    assert "No test of this process used the fixture `moorage`" in run_tests(project, "--moorage-learn").stdout


def test_what_a_test_denies_stays_denied_while_it_learns(project):
    learnt = Learnt()
    kit = Moorage(find_manifest(project), learnt=learnt)
    kit.deny("config.read:**")
    kit.grant("secrets.read:KEY")
    grants = kit._gate.grants
    assert not grants.decide(need("config.read", "greeting")).allowed
    assert grants.decide(need("kafka.produce", "elsewhere")).allowed
    assert learnt.needs == frozenset()
    kit.close()


def test_mapped_tables_are_there_while_it_learns_but_not_those_of_the_plugin(project):
    base = declarative_base()
    for name in ("learnt_users", "learnt_stats"):
        type(name, (base,), {"__tablename__": name, "id": Column(Integer, primary_key=True)})
    plugin = Plugin()

    @plugin.task
    def count(db: Connection, input: str) -> int:  # noqa: A002 - the word that plugins use
        return db.execute(f"SELECT count(*) FROM {input}").fetchone()[0]

    kit = Moorage(find_manifest(project), learnt=Learnt())
    kit.grant("sql.define:learnt_stats")
    assert kit.run(count, "learnt_users").result == 0
    assert "no such table" in str(kit.run(count, "learnt_stats").error)
    kit.close()


def test_the_manifest_is_found_upwards(project):
    manifest = find_manifest(project / "tests")
    assert manifest.name == "churn"
    assert [str(right) for right in manifest.capabilities] == ["kafka.produce:plugin-topic", "config.read:**"]
    assert manifest.config == {"greeting": "Hello", "mail": {"from": "a@b"}}


def test_without_a_manifest_the_sentence_says_where_it_looked(tmp_path):
    with pytest.raises(ManifestMissing, match=r"has a pyproject\.toml with a \[tool\.moorage\] table"):
        find_manifest(tmp_path)


async def test_inside_a_loop_the_async_way_is_named(kit):
    with pytest.raises(RuntimeError, match=r"write: await moorage\.run_async"):
        kit.run("execute")
