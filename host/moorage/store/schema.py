"""The store's tables as they are now; ``migrations`` holds how they became so.

History (executions, incarnations, log lines, audit) names installations without a foreign key: it outlives them.
States are text without a check, so that a new one needs no migration.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from moorage.store.columns import FilePath, Instant, Tagged

#: The newest migration; opening a store that has it runs none.
REVISION = "0009"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def Name(length: int) -> String:  # noqa: N802 - a type, as those of SQLAlchemy
    """A short text, compared byte by byte. No database refuses one that is longer."""
    return String(length).with_variant(Text(collation="C"), "postgresql")


#: SQLite numbers rows by itself only in a column that is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

# What all hosts share of an installation.
installations = Table(
    "installations",
    metadata,
    Column("id", Name(200), primary_key=True),
    Column("plugin", Name(200), nullable=False),
    Column("config", Tagged, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("held_reason", Text, nullable=False),
    Column("held_by", Text, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("quarantined", Text, nullable=False),
    # Grows by one with every change of what the installation may do.
    Column("grants_epoch", BigInteger, nullable=False),
    # Grows by one with every change of all that hosts share of it: how others notice.
    Column("revision", BigInteger, nullable=False),
)

# What a host has put to use under the name of an installation. An empty host: whoever opens the store takes it.
placements = Table(
    "placements",
    metadata,
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Name(100), primary_key=True),
    Column("version", Name(200), nullable=False),
    Column("manifest", Tagged, nullable=False),
    Column("source_path", FilePath, nullable=False),
    Column("code_path", FilePath, nullable=False),
    Column("code_hash", Name(64), nullable=False),
    Column("code_roots", Tagged, nullable=False),
    Column("venv_key", Name(200), nullable=False),
    Column("uid", BigInteger),
    Column("start", Name(20)),
    Column("installed_at", Instant),
    # The version that became ready last: what the next one is told that it follows.
    Column("loaded_version", Name(200)),
)

grants = Table(
    "grants",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), nullable=False),
    Column("capability", Text, nullable=False),
    Column("effect", Name(10), nullable=False),
    Column("because", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", Instant, nullable=False),
    # Calls under it are refused while the audit cannot be written.
    Column("fail_closed", Boolean, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("used_at", Instant),
    UniqueConstraint("installation", "capability", "effect"),
)

# Outlives its installation for as long as data of that uid may remain.
uids = Table(
    "uids",
    metadata,
    Column("host", Name(100), primary_key=True),
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("installation", Name(200), nullable=False),
    Column("allocated_at", Instant, nullable=False),
    UniqueConstraint("host", "installation"),
)

# Numbers that are handed out once: "incarnation/churn".
counters = Table(
    "counters",
    metadata,
    Column("name", Name(250), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

incarnations = Table(
    "incarnations",
    metadata,
    Column("id", Name(100), primary_key=True),
    Column("installation", Name(200), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("state", Name(20), nullable=False, index=True),
    Column("pid", BigInteger, nullable=False),
    Column("start", Name(20), nullable=False),
    Column("sandbox_level", Name(20), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ready_at", Instant),
    Column("stopped_at", Instant),
    Column("python", Name(50), nullable=False),
    Column("protobuf", Name(50), nullable=False),
    Column("grpcio", Name(50), nullable=False),
    Column("verdict_kind", Name(40)),
    Column("verdict_sentence", Text),
    Column("verdict_exit_code", Integer),
    Column("verdict_signal", Name(20)),
    Column("verdict_traceback", Text),
    Column("verdict_stack", Text),
    Column("verdict_lines", Tagged),
    # The host whose worker it is.
    Column("host", Name(100), nullable=False),
    UniqueConstraint("installation", "number"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Name(100), primary_key=True),
    Column("installation", Name(200), nullable=False),
    Column("plugin", Name(200), nullable=False),
    Column("version", Name(200), nullable=False),
    Column("task", Name(200), nullable=False),
    Column("trigger", Name(200), nullable=False),
    Column("state", Name(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("input", Tagged),
    Column("result", Tagged),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_remedy", Text),
    Column("progress", Float),
    Column("progress_message", Text, nullable=False),
    Column("worker", Tagged),
    # What the request asked for; without it the manifest's counts.
    Column("timeout_seconds", Float),
    Column("trigger_id", Name(300), nullable=False),
    Column("by", Text, nullable=False),
    # NULL: it has none. Unique, so that what comes twice is one execution, whichever host it comes to.
    Column("key", Name(600), unique=True),
    Column("retry_of", Name(100), nullable=False),
    Column("due_at", Instant),
    # The host that has it, while it is open; whoever writes its outcome must be this one.
    Column("host", Name(100), nullable=False),
    Column("use", Tagged),
    Column("patient", Boolean, nullable=False),
    # What the request asked for; without it the policy's count.
    Column("attempts", Integer),
    Index(None, "installation", "id"),
    Index(None, "state", "id"),
    Index(None, "installation", "state", "id"),
    Index(None, "trigger_id", "id"),
    Index(None, "ended_at"),
)

# Tries that have ended, of executions that have, or had, more than one.
attempts = Table(
    "attempts",
    metadata,
    Column("execution", Name(100), ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Name(20), nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_remedy", Text),
    Column("worker", Tagged),
    Column("use", Tagged),
)

# Those that count at present, with what is known of each; what declared them is in `trigger`.
triggers = Table(
    "triggers",
    metadata,
    Column("id", Name(300), primary_key=True),
    # NULL: it selects its installations.
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE")),
    Column("name", Name(100), nullable=False),
    Column("kind", Name(20), nullable=False),
    Column("origin", Name(20), nullable=False),
    Column("trigger", Tagged, nullable=False),
    # What people changed of one that the manifest or the settings declare: a record of those parts alone.
    Column("changes", Tagged),
    # A person removed what the manifest or the settings declare.
    Column("removed", Boolean, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("paused_reason", Text, nullable=False),
    Column("paused_by", Text, nullable=False),
    Column("next_at", Instant, index=True),
    Column("last_at", Instant),
    Column("last_execution", Name(100), nullable=False),
    Column("fired", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    # The host that listens, of sources that one host alone may listen to; empty: none does.
    Column("host", Name(100), nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant),
    Index(None, "installation", "name"),
)

# How far triggers have followed the outcomes of executions.
followed = Table(
    "followed",
    metadata,
    Column("trigger", Name(300), ForeignKey("triggers.id", ondelete="CASCADE"), primary_key=True),
    # What ended before is none of its business.
    Column("since", Instant, nullable=False),
    # What ended before this was taken.
    Column("until", Instant, nullable=False),
)

# Policies of executions, changed at run time; they count before those of the settings file.
policy_values = Table(
    "policy_values",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), nullable=False),
    Column("key", Name(100), nullable=False),
    Column("value", Tagged),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    UniqueConstraint("installation", "key"),
)

# Hosts that use this store. One whose lease has run out is dead: others take over what it had.
hosts = Table(
    "hosts",
    metadata,
    Column("id", Name(100), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Name(50), nullable=False),
    # Of the process that is the host at present.
    Column("session", Name(40), nullable=False),
    Column("started_at", Instant, nullable=False),
    # By the database's own clock.
    Column("leased_until", Instant, nullable=False),
)

# Switches for all installations at one time; a name that is not here is on.
switches = Table(
    "switches",
    metadata,
    Column("name", Name(100), primary_key=True),
    Column("is_on", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
)

log_lines = Table(
    "log_lines",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("installation", Name(200), nullable=False),
    Column("incarnation", Name(100), nullable=False),
    Column("time", Instant, nullable=False),
    Column("level", Integer, nullable=False),
    Column("logger", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("execution", Name(100)),
    Column("fields", Tagged),
    Column("exception", Text, nullable=False),
    Index(None, "installation", "id"),
    Index(None, "execution", "id"),
    # Ids that a reader has seen never come again, even after the newest lines were deleted.
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("time", Instant, nullable=False),
    Column("kind", Name(40), nullable=False),
    Column("installation", Name(200), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("capability", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("execution", Name(100), nullable=False),
    Column("occurrences", BigInteger, nullable=False),
    # SHA-256 over the previous entry's digest and this entry.
    Column("digest", Name(64), nullable=False),
    Index(None, "installation", "id"),
    sqlite_autoincrement=True,
)

# One row. Whoever appends to the audit changes it, so that hosts take turns, and there is one chain for all.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Of the newest entry, also after that was removed for its age.
    Column("digest", Name(64), nullable=False),
    # Of the newest entry that was removed for its age: what the chain of those that are kept begins with.
    Column("anchor", Name(64), nullable=False),
    Column("pruned", BigInteger, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    # Empty: the operator's, for all installations that the settings name. So there is no foreign key.
    Column("installation", Name(200), nullable=False),
    Column("name", Name(200), nullable=False),
    Column("key_id", Name(40), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("origin", Name(20), nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    UniqueConstraint("installation", "name"),
)

# What plugins bring, as their last workers told: for when none runs.
contributions = Table(
    "contributions",
    metadata,
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), primary_key=True),
    # Of the code that told it.
    Column("code_hash", Name(64), nullable=False),
    Column("content", Tagged, nullable=False),
)

# Settings changed at run time, which count before those of the settings file.
config_values = Table(
    "config_values",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), nullable=False),
    Column("key", Name(1000), nullable=False),
    Column("value", Tagged),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    UniqueConstraint("installation", "key"),
)

log_levels = Table(
    "log_levels",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("installation", Name(200), ForeignKey("installations.id", ondelete="CASCADE"), nullable=False),
    # Empty: all loggers that have no level of their own.
    Column("logger", Name(1000), nullable=False),
    Column("level", Integer, nullable=False),
    Column("until", Instant),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    UniqueConstraint("installation", "logger"),
)
