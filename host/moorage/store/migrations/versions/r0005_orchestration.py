"""Orchestration: triggers, policies, attempts, hosts with leases, and what executions tell of themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_instant = sa.DateTime(timezone=True)
_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _executions()
    _triggers()
    op.create_table(
        "policy_values",
        sa.Column("id", _row_id, primary_key=True, autoincrement=True),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], "fk_policy_values_installation_installations", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("installation", "key", name="uq_policy_values_installation_key"),
    )
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("started_at", _instant, nullable=False),
        sa.Column("leased_until", _instant, nullable=False),
    )
    op.create_table(
        "switches",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant, nullable=False),
    )


def _executions() -> None:
    with op.batch_alter_table("executions") as table:
        for name, kind in (
            ("trigger_id", sa.String(300)),
            ("by", sa.Text()),
            ("retry_of", sa.String(100)),
            ("host", sa.String(100)),
        ):
            table.add_column(sa.Column(name, kind, nullable=False, server_default=""))
        table.add_column(sa.Column("key", sa.String(600)))
        table.add_column(sa.Column("due_at", _instant))
        table.add_column(sa.Column("use", sa.Text()))
        table.add_column(sa.Column("patient", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("attempts", sa.Integer()))
        table.create_unique_constraint("uq_executions_key", ["key"])
    op.create_index("ix_executions_trigger_id_id", "executions", ["trigger_id", "id"])
    op.create_index("ix_executions_ended_at", "executions", ["ended_at"])
    op.create_table(
        "attempts",
        sa.Column("execution", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("started_at", _instant),
        sa.Column("ended_at", _instant, nullable=False),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_traceback", sa.Text()),
        sa.Column("error_remedy", sa.Text()),
        sa.Column("worker", sa.Text()),
        sa.Column("use", sa.Text()),
        sa.ForeignKeyConstraint(
            ["execution"], ["executions.id"], "fk_attempts_execution_executions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution", "number", name="pk_attempts"),
    )


def _triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("id", sa.String(300), primary_key=True),
        sa.Column("installation", sa.String(200)),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text()),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("next_at", _instant),
        sa.Column("last_at", _instant),
        sa.Column("last_execution", sa.String(100), nullable=False),
        sa.Column("fired", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("host", sa.String(100), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], "fk_triggers_installation_installations", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_triggers_installation_name", "triggers", ["installation", "name"])
    op.create_index("ix_triggers_next_at", "triggers", ["next_at"])
