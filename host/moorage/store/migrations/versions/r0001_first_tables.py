"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_installations()
    _create_history()
    _create_lines()


def _create_installations() -> None:
    op.create_table(
        "installations",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("plugin", sa.String(200), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("source_path", sa.Text(), nullable=False),
        sa.Column("code_path", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("code_roots", sa.Text(), nullable=False),
        sa.Column("venv_key", sa.String(200), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("uid", sa.BigInteger()),
        sa.Column("start", sa.String(20)),
        sa.Column("installed_at", _instant),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("held_reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Text(), nullable=False),
        sa.Column("grants_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installations"),
    )
    op.create_table(
        "grants",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("capability", sa.Text(), nullable=False),
        sa.Column("effect", sa.String(10), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], name="fk_grants_installation_installations", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("installation", "capability", "effect", name="uq_grants_installation_capability_effect"),
    )
    op.create_table(
        "uids",
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("allocated_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_uids"),
        sa.UniqueConstraint("installation", name="uq_uids_installation"),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )


def _create_history() -> None:
    op.create_table(
        "incarnations",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.String(20), nullable=False),
        sa.Column("sandbox_level", sa.String(20), nullable=False),
        sa.Column("started_at", _instant, nullable=False),
        sa.Column("ready_at", _instant),
        sa.Column("stopped_at", _instant),
        sa.Column("python", sa.String(50), nullable=False),
        sa.Column("protobuf", sa.String(50), nullable=False),
        sa.Column("grpcio", sa.String(50), nullable=False),
        sa.Column("verdict_kind", sa.String(40)),
        sa.Column("verdict_sentence", sa.Text()),
        sa.Column("verdict_exit_code", sa.Integer()),
        sa.Column("verdict_signal", sa.String(20)),
        sa.Column("verdict_traceback", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_incarnations"),
        sa.UniqueConstraint("installation", "number", name="uq_incarnations_installation_number"),
    )
    op.create_index("ix_incarnations_state", "incarnations", ["state"])
    op.create_table(
        "executions",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("plugin", sa.String(200), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("task", sa.String(200), nullable=False),
        sa.Column("trigger", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("queued_at", _instant, nullable=False),
        sa.Column("started_at", _instant),
        sa.Column("ended_at", _instant),
        sa.Column("input", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_traceback", sa.Text()),
        sa.Column("error_remedy", sa.Text()),
        sa.Column("progress", sa.Float()),
        sa.Column("progress_message", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
    )
    op.create_index("ix_executions_state", "executions", ["state"])
    op.create_index("ix_executions_installation_id", "executions", ["installation", "id"])


def _create_lines() -> None:
    op.create_table(
        "log_lines",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("incarnation", sa.String(100), nullable=False),
        sa.Column("time", _instant, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("logger", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("execution", sa.String(100)),
        sa.Column("fields", sa.Text()),
        sa.Column("exception", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_lines"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_log_lines_installation_id", "log_lines", ["installation", "id"])
    op.create_index("ix_log_lines_execution_id", "log_lines", ["execution", "id"])
    op.create_table(
        "audit",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("time", _instant, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("capability", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("execution", sa.String(100), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_installation_id", "audit", ["installation", "id"])
