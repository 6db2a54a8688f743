"""Fixtures of the SDK's tests."""

import asyncio
import sys
import textwrap

import pytest

from moorage_proto import capability, plugin_pb2
from moorage_proto.methods import service_methods
from moorage_sdk import scope as scopes
from moorage_sdk.host import HostFacts
from moorage_sdk.scope import Scope
from moorage_sdk.testing import Moorage, TestedManifest
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.gate import Gate
from moorage_sdk.worker.runtime import Runtime

PLUGIN = service_methods(plugin_pb2, "PluginService")


@pytest.fixture
def kit():
    """The testing kit for a plugin named churn that may produce to plugin-topic and read every setting."""
    rights = ("kafka.produce:plugin-topic", "config.read:**")
    moorage = Moorage(TestedManifest("churn", capabilities=tuple(map(capability.parse, rights))))
    yield moorage
    moorage.close()


class Call:
    """An incoming call, as the link hands it over; here the link's thread is the test's."""

    def __init__(self, name, request, scope="i-1"):
        self.method = PLUGIN[name].path if name in PLUGIN else name
        self.request = request if isinstance(request, bytes) else request.SerializeToString()
        self.scope = scope
        self.deadline = None
        self.traceparent = ""
        self.answer = asyncio.get_running_loop().create_future()

    def reply(self, data):
        self.answer.set_result(data)

    def fail(self, error):
        self.answer.set_exception(error)

    def on_cancel(self, callback):
        self.cancel = callback


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Makes a runtime for a plugin with the given source."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(scopes, "_fallback", Scope("i-1"))

    async def flush():
        return None

    def make(source, entry_point="churn_plugin:plugin"):
        (tmp_path / "churn_plugin.py").write_text(textwrap.dedent(source))
        made = Runtime(
            entry_point,
            channel=LocalChannel(Gate("churn", ())),
            flush=flush,
            in_link_thread=asyncio.get_running_loop().call_soon_threadsafe,
        )
        made.meet(HostFacts("churn"))
        return made

    yield make
    sys.modules.pop("churn_plugin", None)


async def answer(runtime, name, request):
    call = Call(name, request)
    runtime.dispatch(call)
    return await asyncio.wait_for(call.answer, 10)
