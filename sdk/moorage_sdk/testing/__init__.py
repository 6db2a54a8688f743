"""The testing kit: run a plugin's tasks in process, with fakes of the services behind the real gate.

    def test_counts_users(moorage):
        assert moorage.run(execute).result == Report(users=0)
        assert moorage.kafka.values("plugin-topic") == [b"User count: 0"]

``moorage`` is a pytest fixture; elsewhere make one: ``Moorage(find_manifest(folder))``.
"""

from __future__ import annotations

from moorage_sdk.testing.kit import Moorage, TaskRun
from moorage_sdk.testing.log import LogLine
from moorage_sdk.testing.manifest import ManifestMissing, TestedManifest, find_manifest

__all__ = ["LogLine", "ManifestMissing", "Moorage", "TaskRun", "TestedManifest", "find_manifest"]
