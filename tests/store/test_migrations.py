"""A store that an older Moorage wrote goes on to be one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from sqlalchemy import create_engine, text

from moorage.models.incarnation import IncarnationState, Verdict, VerdictKind
from moorage.store import migrate, schema
from moorage.store.store import Store

OLD = """
    INSERT INTO incarnations (id, installation, number, state, pid, start, sandbox_level, started_at, python, protobuf,
      grpcio, verdict_kind, verdict_sentence, verdict_signal, verdict_traceback)
    VALUES ('churn-1-ab', 'churn', 1, 'stopped', 12, 'zygote', 'full', '2026-11-20 09:30:00.000000', '3.11', '', '',
      'exited', 'The worker exited with code 1.', '', 'Traceback ...')
"""


def old_store(path: Path, revision: str, *statements: str) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = migrate._configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def test_verdicts_of_the_first_schema_are_still_there(tmp_path: Path) -> None:
    old_store(tmp_path / "moorage.db", "0001", OLD)
    assert schema.REVISION != "0001"

    async with Store(tmp_path / "moorage.db") as store:
        (found,) = await store.incarnations.list("churn")

    assert found.state is IncarnationState.STOPPED
    assert found.verdict == Verdict(
        VerdictKind.EXITED, "The worker exited with code 1.", traceback="Traceback ...", stack="", lines=()
    )
