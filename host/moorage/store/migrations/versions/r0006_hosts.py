"""Several hosts: what each has of installations, workers and uids; the audit's chain, which they share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_instant = sa.DateTime(timezone=True)
#: The host that these rows belong to is not known: the first that opens the store takes them.
_NOBODY = ""

_OF_A_HOST = (
    *("version", "manifest", "source_path", "code_path", "code_hash", "code_roots", "venv_key", "uid", "start"),
    *("installed_at", "loaded_version"),
)


def upgrade() -> None:
    _placements()
    _uids()
    op.add_column("incarnations", sa.Column("host", sa.String(100), nullable=False, server_default=_NOBODY))
    op.add_column("hosts", sa.Column("session", sa.String(40), nullable=False, server_default=_NOBODY))
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("anchor", sa.String(64), nullable=False),
        sa.Column("pruned", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _free_texts()


def _placements() -> None:
    op.create_table(
        "placements",
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("host", sa.String(100), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("source_path", sa.Text(), nullable=False),
        sa.Column("code_path", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("code_roots", sa.Text(), nullable=False),
        sa.Column("venv_key", sa.String(200), nullable=False),
        sa.Column("uid", sa.BigInteger()),
        sa.Column("start", sa.String(20)),
        sa.Column("installed_at", _instant),
        sa.Column("loaded_version", sa.String(200)),
        sa.PrimaryKeyConstraint("installation", "host", name="pk_placements"),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], "fk_placements_installation_installations", ondelete="CASCADE"
        ),
    )
    columns = ", ".join(f'"{name}"' for name in _OF_A_HOST)
    op.execute(
        f"INSERT INTO placements (installation, host, {columns}) SELECT id, '{_NOBODY}', {columns} FROM installations"  # noqa: S608 - names from above
    )
    # Not by a copy of the table: to drop it would take along all that belongs to installations.
    for name in _OF_A_HOST:
        op.execute(f'ALTER TABLE installations DROP COLUMN "{name}"')
    op.add_column("installations", sa.Column("revision", sa.BigInteger(), nullable=False, server_default="1"))


def _uids() -> None:
    op.create_table(
        "uids_of_hosts",
        sa.Column("host", sa.String(100), nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("installation", sa.String(200), nullable=False),
        sa.Column("allocated_at", _instant, nullable=False),
        sa.PrimaryKeyConstraint("host", "uid", name="pk_uids_of_hosts"),
        sa.UniqueConstraint("host", "installation", name="uq_uids_host_installation"),
    )
    op.execute(
        "INSERT INTO uids_of_hosts (host, uid, installation, allocated_at)"
        " SELECT '', uid, installation, allocated_at FROM uids"
    )
    op.drop_table("uids")
    op.rename_table("uids_of_hosts", "uids")


def _free_texts() -> None:
    """SQLite never held anybody to the length of a text, and compares bytes; PostgreSQL is to do the same."""
    inspector = sa.inspect(op.get_bind())
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            if isinstance(column["type"], sa.VARCHAR) and table != "alembic_version":
                op.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column["name"]}" TYPE TEXT COLLATE "C"')
