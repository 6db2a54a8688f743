"""From grants to a role's rights, and the SQL that gives them; without a server."""

from __future__ import annotations

import pytest
from sql_worlds import granted

from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.printed import Present, printed
from moorage.broker.services.sql.postgresql.privileges import RolePlan, role_name, schema_name
from moorage.broker.services.sql.postgresql.roles import Terms, plan_role
from moorage.broker.services.sql.postgresql.script import bind_rows, grant_and_revoke

TERMS = Terms("main", "shop")
RELATIONS = (
    Relation("public", "users", "r", ("id", "name", "email")),
    Relation("public", "plays", "p", ("id", "rating")),
    Relation("public", "names", "v", ("name",)),
    Relation("public", "plays_id_seq", "S", (), "plays"),
    Relation("public", "numbers", "S"),
    Relation("sales", "orders", "r", ("id",)),
    Relation("public", "moorage_commit", "r", ("installation", "execution")),
    Relation("moorage_other", "secrets", "r", ("a",)),
)


def planned(*capabilities: str, deny: tuple[str, ...] = (), terms: Terms = TERMS) -> RolePlan:
    return plan_role(terms, "churn", [granted(*capabilities, deny=deny)], RELATIONS)


def told(plan: RolePlan) -> set[str]:
    return {
        f"{right.name} {right.schema}.{right.relation}" + (f"({right.column})" if right.column else "")
        for right in plan.privileges
    }


@pytest.mark.parametrize(
    ("capabilities", "deny", "expected"),
    [
        (["sql.read:users"], [], {"SELECT public.users"}),
        (["sql.read:users(id,name)"], [], {"SELECT public.users(id)", "SELECT public.users(name)"}),
        (
            ["sql.read:users(id)", "sql.read:users(email)"],
            [],
            {"SELECT public.users(id)", "SELECT public.users(email)"},
        ),
        (["sql.read:users"], ["sql.read:users(email)"], {"SELECT public.users(id)", "SELECT public.users(name)"}),
        (["sql.read:users"], ["sql.read:*"], set()),
        (
            ["sql.write:plays(rating)"],
            [],
            {"UPDATE public.plays(rating)"},
        ),
        (
            ["sql.write:plays"],
            [],
            {
                *(f"{name} public.plays" for name in ("INSERT", "UPDATE", "DELETE", "REFERENCES")),
                *(f"{name} public.plays_id_seq" for name in ("USAGE", "UPDATE")),
            },
        ),
        (["sql.write:names"], [], {f"{name} public.names" for name in ("INSERT", "UPDATE", "DELETE")}),
        (["sql.write:numbers"], [], {"USAGE public.numbers", "UPDATE public.numbers"}),
        (["sql.read:numbers"], [], {"SELECT public.numbers"}),
        (["sql.read:orders"], [], set()),
        (["sql.read:sales.orders"], [], {"SELECT sales.orders"}),
        (["sql.read:other/**", "kafka.produce:**"], [], set()),
        (["sql.define:**"], [], set()),
    ],
)
def test_a_role_has_exactly_what_was_granted(capabilities, deny, expected):
    assert told(planned(*capabilities, deny=tuple(deny))) == expected


def test_everything_leaves_out_what_is_the_hosts_and_other_installations():
    found = told(planned("sql.read:**", "sql.write:**"))

    assert not any("moorage" in each for each in found)
    assert "SELECT sales.orders" in found


def test_versions_beside_each_other_have_what_either_may():
    plan = plan_role(TERMS, "churn", [granted("sql.read:users(id)"), granted("sql.read:users(name)")], RELATIONS)
    assert told(plan) == {"SELECT public.users(id)", "SELECT public.users(name)"}


def test_a_right_to_define_brings_a_schema():
    assert planned("sql.define:stats_*").defines
    assert not planned("sql.define:other/stats_*", "sql.read:**").defines


def test_a_commit_table_can_be_added_to():
    plan = planned(terms=Terms("main", "shop", commit_table=True))

    assert told(plan) == {"INSERT public.moorage_commit(execution)", "INSERT public.moorage_commit(installation)"}
    assert plan.rows == {("public", "moorage_commit"): "installation"}


def test_names_are_of_one_database_and_fit():
    assert role_name("main", "shop", "churn") != role_name("main", "other", "churn") != role_name("x", "shop", "churn")
    long, longer = "a" * 80, "a" * 81
    for name in (role_name, schema_name):
        arguments = ("main", "shop") if name is role_name else ()
        assert len(name(*arguments, long)) <= 63
        assert name(*arguments, long) != name(*arguments, longer)


def test_what_is_too_much_is_taken_back_first():
    before, after = planned("sql.read:users", "sql.write:plays"), planned("sql.read:users(id)", "sql.read:plays")

    statements = grant_and_revoke(after, before.privileges)

    role = f'"{after.role}"'
    assert statements == (
        f'REVOKE DELETE, INSERT, REFERENCES, UPDATE ON TABLE "public"."plays" FROM {role}',
        f'REVOKE UPDATE, USAGE ON SEQUENCE "public"."plays_id_seq" FROM {role}',
        f'REVOKE SELECT ON TABLE "public"."users" FROM {role}',
        f'GRANT USAGE ON SCHEMA "public" TO {role}',
        f'GRANT SELECT ON TABLE "public"."plays" TO {role}',
        f'GRANT SELECT ON TABLE "public"."plays_id_seq" TO {role}',
        f'GRANT SELECT ("id") ON TABLE "public"."users" TO {role}',
    )
    assert grant_and_revoke(after, after.privileges) == ()


def test_names_are_quoted():
    odd = Relation("public", 'a"b', "r", ("c'd", 'e"f'))
    plan = plan_role(Terms("main", "shop", rows={'a"b': 'e"f'}), "o'neill", [granted('sql.read:"a""b"(c\'d)')], [odd])

    text = "; ".join((*grant_and_revoke(plan), *bind_rows(plan)))

    assert 'GRANT SELECT ("c\'d") ON TABLE "public"."a""b"' in text
    assert "\"e\"\"f\"::text = 'o''neill'" in text


def test_the_script_says_what_is_lacking():
    plan = planned("sql.read:users(id)", "sql.define:x", terms=Terms("main", "shop", rows={"plays": "owner"}))
    nothing = Present(False, False, frozenset(), frozenset(), frozenset())
    text = printed("main", "shop", "public", [(plan, nothing)], commit_table=False)
    done = Present(True, True, plan.privileges, frozenset(plan.rows), frozenset(plan.rows))
    again = printed("main", "shop", "public", [(plan, done)], commit_table=False)

    for part in (
        "BEGIN;",
        "CREATE ROLE",
        "CREATE SCHEMA",
        "ROW LEVEL SECURITY",
        "RESTRICTIVE",
        'SELECT ("id")',
        "COMMIT;",
    ):
        assert part in text
    for part in ("CREATE ROLE", "CREATE SCHEMA", "ROW LEVEL SECURITY", "SELECT"):
        assert part not in again
    assert "PASSWORD" not in text
