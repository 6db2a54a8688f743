"""The demo: a host with three plugins, each in its own process, virtualenv and sandbox."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from seed import ROOT, seed

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.web.api import create_api
from moorage.web.server import ApiServer

CONFIG = Path(__file__).with_name("moorage.toml")
TOPIC = "plugin-topic"
CONSUMER_TIMEOUT_SECONDS = 60

started = time.monotonic()


def tell(sentence: str) -> None:
    print(f"{time.monotonic() - started:6.1f} s  {sentence}", flush=True)


async def run_all(host: Host, names: list[str]) -> list[Execution]:
    """Runs every plugin once, one after the other, and says what came of it."""
    executions = []
    for name in names:
        execution = await host.run(ExecutionRequest(name, trigger="demo"))
        executions.append(execution)
        tell(sentence_of(execution))
    return executions


def sentence_of(execution: Execution) -> str:
    worker, error = execution.worker, execution.error
    where = f"Python {worker.python}, process {worker.pid}, sandbox {worker.sandbox_level}" if worker else "no worker"
    what = json.dumps(execution.result, ensure_ascii=False, default=str) if error is None else error.message
    return f"{execution.installation} {execution.version} {execution.state} ({where}): {what}"


async def messages(host: Host) -> list[dict[str, object]]:
    """What arrived on the topic, read back by a consumer in a process of its own."""
    consumer = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("consume.py")),
        host.kafka_servers["main"],
        TOPIC,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(CONSUMER_TIMEOUT_SECONDS):
        output, _ = await consumer.communicate()
    if consumer.returncode:
        raise SystemExit(f"demo: the consumer ended with {consumer.returncode}")
    found: list[dict[str, object]] = json.loads(output)
    return found


def write_report(path: Path, executions: list[Execution], found: list[dict[str, object]]) -> None:
    report = {"executions": [entry_of(execution) for execution in executions], "messages": found}
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    tell(f"written: {path}")


def entry_of(execution: Execution) -> dict[str, object]:
    worker, duration = execution.worker, execution.duration
    return {
        "plugin": execution.plugin,
        "version": execution.version,
        "outcome": execution.state.value,
        "duration_ms": round(duration.total_seconds() * 1000, 3) if duration is not None else None,
        "python": worker.python if worker else None,
        "protobuf": worker.protobuf if worker else None,
        "pid": worker.pid if worker else None,
        "sandbox_level": worker.sandbox_level if worker else None,
        "error": execution.error.message if execution.error else None,
    }


async def demo(settings: Settings, *, once: bool, report: Path | None) -> int:
    plays = seed(Path(settings.sql["main"].url.removeprefix("sqlite:///")))
    tell(f"the application's database holds {plays} plays")
    async with Host(settings) as host:
        tell("host started; looking for plugins")
        await host.load(progress=tell)
        broken = await host.broken()
        # What someone installed while the demo ran is theirs to run.
        found_there = [view.installation for view in await host.installations()]
        names = [one.id for one in found_there if one.source_path.is_relative_to(ROOT / "plugins")]
        executions = await run_all(host, names)
        found = await messages(host)
        for message in found:
            tell(f"a consumer in another process read from {TOPIC}: {message['value']}")
        if report is not None:
            write_report(report, executions, found)
        succeeded = bool(executions) and not broken and all(one.state is ExecutionState.SUCCEEDED for one in executions)
        if not once:
            await keep_running(host)
    return 0 if succeeded else 1


async def keep_running(host: Host) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with ApiServer(create_api(host), host.settings.api_socket):
        print(WHAT_NEXT.format(config=CONFIG.relative_to(ROOT)), flush=True)
        await stopping.wait()
        tell("stopping")


WHAT_NEXT = """
The host keeps running. In another terminal, from this folder:

  export MOORAGE_CONFIG=$PWD/{config}
  export PATH=$PWD/.venv/bin:$PATH
  moorage ls                          what is installed, and how it is
  moorage run sample                  count the users again
  moorage run scrobbler favourites --input '{{"top": 3}}'
  moorage show legacy                 pydantic 1, protobuf 3.20, an old Python
  moorage logs -f                     what the plugins say
  moorage revoke sample sql.read:plays
  moorage run sample; moorage audit sample
  moorage grant sample --optional     its other services, from Redis to secrets
  moorage reload sample; moorage run sample services
  moorage grants sample --use         what of it was used
  moorage kill scrobbler              gone, with everything it held
  moorage doctor                      what this machine's kernel offers
  moorage new hello                   a plugin of your own: says what comes next

Stop it with Ctrl+C. The database and the virtualenvs stay in .moorage/demo;
what is in Kafka, Redis and Service Bus is forgotten.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="run every plugin once, and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what happened as JSON")
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    report = arguments.relative_to / arguments.json if arguments.json else None
    try:
        return asyncio.run(demo(Settings.load(CONFIG), once=arguments.once, report=report))
    except MoorageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
