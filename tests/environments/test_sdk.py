from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.environments import sdk
from moorage.environments.errors import SdkMissing
from moorage.environments.sdk import read_sdk


def test_the_copy_holds_code_and_metadata_and_no_path_of_this_machine(tmp_path: Path) -> None:
    source = read_sdk()
    assert {"moorage_sdk/__init__.py", "moorage_proto/link_pb2.py", "moorage_sandbox/__init__.py"} <= set(source.files)
    assert not any(place.endswith(".pyc") or "direct_url" in place for place in source.files)
    source.write(tmp_path)
    found = {entry.metadata["Name"]: entry for entry in importlib.metadata.distributions(path=[str(tmp_path)])}
    assert set(found) == {"moorage-sdk", "moorage-proto", "moorage-sandbox"}
    assert found["moorage-sdk"].entry_points.select(group="sqlalchemy.dialects")


@pytest.mark.system
def test_reading_the_sdk_does_not_import_it() -> None:
    code = "import sys, moorage.environments.sdk as sdk; sdk.read_sdk(); print('moorage_sdk' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert finished.stdout == "False\n"


def test_another_content_has_another_digest() -> None:
    source = read_sdk()
    changed = sdk.SdkSource({**source.files, "moorage_sdk/__init__.py": b"changed"})
    assert source.digest == read_sdk().digest != changed.digest


def test_a_host_without_the_sdk_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "DISTRIBUTIONS", {"moorage-nothing": "moorage_nothing"})
    with pytest.raises(SdkMissing, match="moorage_nothing is not installed beside the host"):
        read_sdk()
