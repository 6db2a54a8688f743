"""PostgreSQL databases from the host's settings."""

from __future__ import annotations

from sqlalchemy.engine import make_url

from moorage.broker.services.sql.postgresql.connection import PostgresLimits
from moorage.broker.services.sql.postgresql.database import PostgresDatabase
from moorage.broker.services.sql.postgresql.fences import Fence, ManagedFence, ProvidedFence, SingleFence
from moorage.broker.services.sql.postgresql.operator import Operator
from moorage.broker.services.sql.postgresql.pool import PoolLimits
from moorage.broker.services.sql.postgresql.roles import Roles, Terms
from moorage.broker.services.sql.postgresql.server import Server
from moorage.config.services.sql import SqlBackend, SqlMode


def terms_of(name: str, settings: SqlBackend) -> Terms:
    url = make_url(settings.url)
    roles = {
        installation: make_url(secret.get_secret_value()).username or ""
        for installation, secret in settings.roles.items()
    }
    return Terms(
        name,
        url.database or url.username or "",
        settings.default_schema,
        settings.rows,
        settings.commit_table,
        {installation: user for installation, user in roles.items() if user},
    )


def postgres_database(
    name: str, settings: SqlBackend, *, limits: PostgresLimits | None = None, pool: PoolLimits | None = None
) -> PostgresDatabase:
    """Raises ArgumentError for a URL that is none."""
    pool = pool or PoolLimits(all=settings.connections, each=min(settings.connections_each, settings.connections))
    terms = terms_of(name, settings)
    server = Server(make_url(settings.url), pool.connect)
    operator = Operator(server)
    return PostgresDatabase(
        name,
        server,
        operator,
        _fence(settings, server, operator, terms),
        terms,
        limits=limits,
        pool=pool,
    )


def _fence(settings: SqlBackend, server: Server, operator: Operator, terms: Terms) -> Fence:
    if settings.fence is SqlMode.PROVIDED:
        urls = {name: make_url(secret.get_secret_value()) for name, secret in settings.roles.items()}
        return ProvidedFence(server, urls, terms)
    if settings.fence is SqlMode.SINGLE_FENCE:
        return SingleFence(server, terms)
    return ManagedFence(server, Roles(terms, operator), terms)
