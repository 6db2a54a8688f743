"""The ``moorage`` fixture, and learning from tests; pytest finds both by this distribution's entry point."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Tuple

import pytest

from moorage_proto.learning import Learnt, lesson
from moorage_sdk.testing.kit import Moorage
from moorage_sdk.testing.manifest import TestedManifest, find_manifest

#: What the tests of each project have used, by its name.
_Learning = Dict[str, Tuple[TestedManifest, Learnt]]
_LEARNING = pytest.StashKey[_Learning]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("moorage").addoption(
        "--moorage-learn",
        action="store_true",
        help="allow plugins everything that a test does not deny, and print the smallest manifest for what they used",
    )


@pytest.fixture
def moorage(request: pytest.FixtureRequest) -> Iterator[Moorage]:
    """Runs this project's tasks with fakes, the real gate and the manifest's capabilities."""
    manifest = find_manifest(request.path.parent)
    learnt = None
    if request.config.getoption("--moorage-learn"):
        learning = request.config.stash.setdefault(_LEARNING, {})
        _, learnt = learning.setdefault(manifest.name, (manifest, Learnt()))
    kit = Moorage(manifest, learnt=learnt)
    yield kit
    kit.close()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--moorage-learn"):
        return
    learning = config.stash.get(_LEARNING, {})
    terminalreporter.section("capabilities")
    if not learning:
        terminalreporter.line("No test of this process used the fixture `moorage`; with pytest-xdist: without -n.")
    for name, (manifest, learnt) in sorted(learning.items()):
        terminalreporter.line(f"# {name}: under [tool.moorage] in its pyproject.toml")
        for line in lesson(learnt.needs, manifest.requests).lines:
            terminalreporter.line(line)
        if learnt.overflowed:
            terminalreporter.line("# more was used than could be remembered")
