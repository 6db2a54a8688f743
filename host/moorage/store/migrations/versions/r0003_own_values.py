"""What an installation has beside its code: secrets, settings changed at run time, levels of its log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
        sa.UniqueConstraint("installation", "name", name="uq_secrets_installation_name"),
    )
    op.create_table(
        "config_values",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("key", sa.String(1000), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_values"),
        sa.ForeignKeyConstraint(
            ["installation"],
            ["installations.id"],
            name="fk_config_values_installation_installations",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("installation", "key", name="uq_config_values_installation_key"),
    )
    op.create_table(
        "log_levels",
        sa.Column("id", _row_id, autoincrement=True, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("logger", sa.String(1000), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("until", _instant),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_levels"),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], name="fk_log_levels_installation_installations", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("installation", "logger", name="uq_log_levels_installation_logger"),
    )
