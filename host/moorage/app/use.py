"""Brings what the broker counts to where people see it, and into the store what must outlive the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from moorage.broker.use import RightUse, Use
from moorage.models.installation import InstallationId
from moorage.models.use import MethodUse, UseView
from moorage.store.effective import includes
from moorage.store.grants import Effect, Grants, Used
from moorage.telemetry.flusher import Flusher
from moorage_proto.capability import Capability, parse

#: Between two writings of what grants were used for.
INTERVAL = timedelta(seconds=30)


class GrantUse:
    """Writes the counts of all installations at intervals, and at its end."""

    def __init__(self, uses: Mapping[InstallationId, Use], grants: Grants, interval: timedelta = INTERVAL) -> None:
        self._uses = uses
        self._grants = grants
        self._flusher = Flusher("use of grants", self._write, interval)

    async def open(self) -> None:
        self._flusher.open()

    async def close(self) -> None:
        """After one last writing. May be called twice."""
        await self._flusher.close()

    async def flush(self) -> None:
        """Returns when all that was counted before is written. Raises what the store raises."""
        await self._flusher.flush()

    def of(self, name: InstallationId) -> UseView:
        use = self._uses.get(name)
        if use is None:
            return UseView(None, ())
        methods = (
            MethodUse(_short(path), each.calls, each.denied, each.bytes_in, each.bytes_out)
            for path, each in use.methods.items()
        )
        most_first = sorted(methods, key=lambda each: (-each.calls, -each.denied, each.method))
        return UseView(datetime.fromtimestamp(use.since, UTC), tuple(most_first))

    async def _write(self, _everything: bool) -> None:
        for name, use in list(self._uses.items()):
            taken = use.take_rights()
            if not taken:
                continue
            try:
                rows = await self._grants.list(name)
                texts = [row.capability for row in rows if row.effect is Effect.ALLOW]
                await self._grants.used({(name, text): used for text, used in by_grant(taken, texts).items()})
            except BaseException:
                use.give_back(taken)
                raise


def by_grant(uses: Mapping[Capability, RightUse], grants: Iterable[str]) -> dict[str, Used]:
    """From rights in effect, each a part of what was granted, to the grants. Of several that hold it, to the narrowest:
    a wider one that is never used beside it can be taken back. Pure.
    """
    parsed = [(text, parse(text)) for text in grants]
    found: dict[str, Used] = {}
    for right, use in uses.items():
        owners = [(text, grant) for text, grant in parsed if includes(grant, right)]
        if not owners:
            continue
        text = min(owners, key=lambda owner: sum(includes(owner[1], other) for _, other in owners))[0]
        before = found.get(text)
        at = datetime.fromtimestamp(use.at, UTC)
        found[text] = Used(use.count, at) if before is None else Used(before.count + use.count, max(before.at, at))
    return found


def _short(path: str) -> str:
    """ "/moorage.v1.KafkaService/Produce" as docs write it: "KafkaService.Produce"."""
    service, _, method = path.rpartition("/")
    return f"{service.rpartition('.')[2]}.{method}" if method else ""
