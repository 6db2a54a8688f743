"""What a database has at present: roles, rights and row security. As the operator's role sees it."""

from __future__ import annotations

from dataclasses import replace

from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.operator import Transaction
from moorage.broker.services.sql.postgresql.printed import Present
from moorage.broker.services.sql.postgresql.privileges import Privilege, RolePlan
from moorage.broker.services.sql.postgresql.script import policy_name

_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::pg_catalog.text,
  ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  (SELECT o.relname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class o ON o.oid = d.refobjid
   WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = d.classid AND d.deptype IN ('a', 'i') LIMIT 1),
  pg_catalog.pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^(pg|moorage)_'
"""

_PRIVILEGES = """
WITH me AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)
SELECT n.nspname, c.relname, x.privilege_type, ''
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) x
WHERE x.grantee = (SELECT oid FROM me) AND c.relowner <> x.grantee
UNION ALL
SELECT n.nspname, c.relname, x.privilege_type, a.attname
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) x
WHERE x.grantee = (SELECT oid FROM me) AND c.relowner <> x.grantee
"""


_PARTITIONS = """
WITH RECURSIVE below AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2
  UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent = below.oid)
SELECT n.nspname, c.relname FROM below JOIN pg_catalog.pg_class c ON c.oid = below.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
"""


async def with_partitions(transaction: Transaction, plan: RolePlan) -> RolePlan:
    """Policies of a table say nothing of its partitions, where a statement names those: they are bound as well."""
    rows = dict(plan.rows)
    for (schema, name), column in plan.rows.items():
        for place, each in await transaction.rows(_PARTITIONS, (schema, name)):
            rows[place, each] = column
    return replace(plan, rows=rows)


async def relations(transaction: Transaction, default_schema: str) -> dict[Relation, bool]:
    """Tables, views and sequences of everybody but plugins, and whether the operator's role can give rights to them."""
    found = await transaction.rows(_RELATIONS)
    return {
        Relation(
            schema,
            name,
            kind,
            tuple(columns),
            (filled if schema == default_schema else f"{schema}.{filled}") if filled else "",
        ): grantable
        for schema, name, kind, columns, filled, grantable in found
    }


async def privileges(transaction: Transaction, role: str) -> frozenset[Privilege]:
    """That were given to the role itself, of what is not its own."""
    return frozenset(Privilege(*row) for row in await transaction.rows(_PRIVILEGES, (role,)))


async def has_role(transaction: Transaction, role: str) -> bool:
    return bool(await transaction.rows("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", (role,)))


async def of_role(transaction: Transaction, plan: RolePlan) -> Present:
    guarded, bound = await row_security(transaction, plan)
    return Present(
        await has_role(transaction, plan.role),
        await has_schema(transaction, plan.schema),
        await privileges(transaction, plan.role),
        guarded,
        bound,
    )


async def has_schema(transaction: Transaction, name: str) -> bool:
    return bool(await transaction.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", (name,)))


async def unfit(transaction: Transaction, role: str) -> str:
    """Why the role would be no fence; empty: it is one."""
    ((above, member),) = await transaction.rows(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,"
        " EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid)"
        " FROM pg_catalog.pg_roles r WHERE rolname = $1",
        (role,),
    )
    if above:
        return "Its role is a superuser, makes roles or databases, replicates or bypasses row security; take that away."
    return "Its role is a member of others, whose rights it could take; take it out of them." if member else ""


async def open_to_all(transaction: Transaction, role: str, schema: str) -> tuple[str, ...]:
    """What the role may do because everybody may."""
    ((temporary, create),) = await transaction.rows(
        "SELECT pg_catalog.has_database_privilege($1, pg_catalog.current_database(), 'TEMPORARY'),"
        " pg_catalog.has_schema_privilege($1, $2, 'CREATE')",
        (role, schema),
    )
    found = []
    if temporary:
        found.append(
            "roles of plugins may make temporary tables, as everybody may; the database's owner ends that with "
            "REVOKE TEMPORARY ON DATABASE ... FROM PUBLIC"
        )
    if create:
        found.append(
            f"roles of plugins may make tables in the schema {schema}, as everybody may; its owner ends that with "
            f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
        )
    return tuple(found)


async def row_security(
    transaction: Transaction, plan: RolePlan
) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    """The tables that have row security, and those on which the role is bound to its rows."""
    guarded, bound = set(), set()
    for (schema, name), column in plan.rows.items():
        rows = await transaction.rows(
            "SELECT c.relrowsecurity, ARRAY(SELECT p.polname::pg_catalog.text FROM pg_catalog.pg_policy p"
            " WHERE p.polrelid = c.oid) FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
            (schema, name),
        )
        for is_on, policies in rows:
            names = {policy_name(plan.role, kind, column) for kind in ("PERMISSIVE", "RESTRICTIVE")}
            if is_on:
                guarded.add((schema, name))
            if is_on and names <= set(policies):
                bound.add((schema, name))
    return frozenset(guarded), frozenset(bound)
