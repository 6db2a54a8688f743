from __future__ import annotations

import pytest

from moorage.environments.uv import explain, uv_environment


def test_uv_is_told_where_packages_come_from_and_nothing_else() -> None:
    environ = {
        "HOME": "/home/ada",
        "UV_DEFAULT_INDEX": "https://index.example",
        "UV_INDEX_CORP_PASSWORD": "x",
        "https_proxy": "http://proxy.example",
        "UV_PYTHON": "3.8",
        "UV_LINK_MODE": "hardlink",
        "UV_NO_BINARY": "1",
        "UV_CONSTRAINT": "/x",
        "VIRTUAL_ENV": "/venv",
        "PYTHONPATH": "/evil",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    assert uv_environment(environ, "") == {
        "HOME": "/home/ada",
        "UV_DEFAULT_INDEX": "https://index.example",
        "UV_INDEX_CORP_PASSWORD": "x",
        "https_proxy": "http://proxy.example",
    }


@pytest.mark.parametrize(
    ("own", "all_of_them"), [({}, "file:///a"), ({"UV_INDEX": "b=https://b"}, "file:///a b=https://b")]
)
def test_the_wheelhouse_comes_before_the_operators_indexes(own: dict[str, str], all_of_them: str) -> None:
    assert uv_environment(own, "file:///a")["UV_INDEX"] == all_of_them


@pytest.mark.parametrize(
    ("stderr", "explanation"),
    [
        (
            "error: No solution found when resolving dependencies\n"
            "  cause: Because only idna<=3.20 is available and you require idna>=99, we can conclude that\n"
            "         your requirements are unsatisfiable.\n\n"
            "hint: `idna` was found on file:///srv/wheelhouse, use `--index-strategy`\n",
            "Because only idna<=3.20 is available and you require idna>=99, we can conclude that your requirements are "
            "unsatisfiable.",
        ),
        (
            "warning: something\nWARNING: Location 'file:///opt/x' is ignored\nerror: Failed to fetch: "
            "`https://user:word@index.example/simple/idna/`\n  cause: timed out\n",
            "Failed to fetch: the package index timed out.",
        ),
        (
            "error: failed to open file `/home/ada/.cache/uv/x`: Permission denied (os error 13)\n",
            "failed to open file a file of the host: Permission denied (os error 13).",
        ),
        ("", "no reason was given."),
    ],
)
def test_explanations_name_packages_and_neither_addresses_nor_paths(stderr: str, explanation: str) -> None:
    assert explain(stderr) == explanation


def test_explanations_end_somewhere() -> None:
    assert len(explain("error: " + "because " * 10_000)) < 1600
