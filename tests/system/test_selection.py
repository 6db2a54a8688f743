"""One task on all installations that a selector selects, in real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host, Settings
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.selection import Selector
from moorage.models.views import InstallationView
from moorage.orchestrator.selection import PredicateUnknown, SelectorRefused

CODE = """
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute(input: int) -> int:
        return input + 1
"""


def vip(view: InstallationView) -> bool:
    return view.installation.config.get("plan") == "gold"


SCHEMA = '\n[tool.moorage.config.properties.plan]\ntype = "string"\n'


async def install(host: Host, folder: Path) -> None:
    for name, tag in (("churn", "etl"), ("geo-tag", "etl"), ("sample", "demo")):
        config = {"plan": "gold"} if name != "churn" else {}
        await host.install(write_plugin(folder, CODE, name=name, extra=f'tags = ["{tag}"]{SCHEMA}'), config=config)


async def test_what_is_selected_is_run_by_name_and_failures_come_apart(settings: Settings, tmp_path: Path) -> None:
    async with Host(settings, predicates={"vip": vip}) as host:
        await install(host, tmp_path)
        runs = await host.run_all(Selector(tags=("etl",)), ExecutionRequest("", input=1))
        assert [(each.installation, each.result) for each in runs.executions] == [("churn", 2), ("geo-tag", 2)]

        keyed = ExecutionRequest("", input=1, key="daily/2026-11-20")
        first, again = [(await host.run_all(Selector(tags=("etl",)), keyed)).executions for _ in range(2)]
        assert [each.id for each in again] == [each.id for each in first]
        assert [each.key for each in first] == ["daily/2026-11-20/churn", "daily/2026-11-20/geo-tag"]

        await host.disable("churn")
        runs = await host.run_all(Selector(), ExecutionRequest("", input=1))
        assert [(each.installation, each.state) for each in runs.executions] == [
            ("churn", ExecutionState.REJECTED),
            ("geo-tag", ExecutionState.SUCCEEDED),
            ("sample", ExecutionState.SUCCEEDED),
        ]
        assert [view.installation.id for view in await host.installations(enabled=True)] == ["geo-tag", "sample"]
        assert [view.installation.id for view in await host.installations(enabled=False)] == ["churn"]

        runs = await host.submit_all(Selector(predicate="vip"), ExecutionRequest("", input=object()))
        assert runs.executions == ()
        assert [(each.installation, each.code) for each in runs.failures] == [
            ("geo-tag", "not_storable"),
            ("sample", "not_storable"),
        ]


async def test_selecting_asks_predicates_about_what_people_see(settings: Settings, tmp_path: Path) -> None:
    async with Host(settings, predicates={"vip": vip}) as host:
        await install(host, tmp_path)
        selected = await host.select(Selector(predicate="vip", none=(Selector(name="sam*"),)))
        assert [view.installation.id for view in selected] == ["geo-tag"]
        with pytest.raises(PredicateUnknown):
            await host.select(Selector(predicate="nobody"))
        with pytest.raises(SelectorRefused):
            await host.run_all(Selector(version="new"), ExecutionRequest(""))
