"""What people grant, revoke and deny, and what an installation may do after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from moorage.app.acts import Act, record_rights
from moorage.app.granted import denial_views, grant_views, in_effect
from moorage.app.installer import check_requested, nearest_verb
from moorage.app.wiring import Wiring
from moorage.errors import Invalid
from moorage.events.events import GrantsChanged
from moorage.models.dangers import dangers
from moorage.models.grants import GrantOrder
from moorage.models.installation import Installation
from moorage.models.rights import Words, sentence
from moorage.models.use import UseView
from moorage.models.views import DenialView, GrantPreview, GrantView, InstallationView
from moorage.store.grants import Effect
from moorage_proto.capability import UNCALLED_VERBS, CapabilityInvalid, parse
from moorage_proto.capability import Grants as EffectiveGrants


@dataclass(frozen=True)
class Shown:
    """What a view of an installation tells of its rights."""

    grants: tuple[GrantView, ...]
    denials: tuple[DenialView, ...]
    dangers: tuple[str, ...]


class Grants:
    """Implements ``moorage.web.operations.GrantOperations``."""

    def __init__(self, parts: Wiring, view: Callable[[str], Awaitable[InstallationView]], act: Act) -> None:
        self._parts = parts
        self._view = view
        self._act = act

    async def grant(self, name: str, order: GrantOrder, *, by: str = "") -> InstallationView:
        installation = await self._parts.store.installations.get(name)
        texts = _ordered(installation, order)
        await self._parts.store.grants.grant(
            name, texts, by=by or "someone", because=order.because, fail_closed=order.fail_closed
        )
        return await self._changed(name, by, "grant", texts, order.because)

    async def preview(self, name: str, order: GrantOrder) -> GrantPreview:
        """What granting it would come to; changes nothing. Raises as ``grant``."""
        installation = await self._parts.store.installations.get(name)
        rights = [parse(text) for text in _ordered(installation, order)]
        present = in_effect(await self._parts.store.grants.rights(name))
        before = set(dangers(present))
        return GrantPreview(
            tuple((str(right), sentence(right, self._words)) for right in rights),
            tuple(danger for danger in dangers([*present, *rights]) if danger not in before),
        )

    async def revoke(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        """Also what the manifest does not ask for any more."""
        await self._parts.store.installations.get(name)
        texts = _canonical(capabilities)
        await self._parts.store.grants.revoke(name, texts)
        return await self._changed(name, by, "revoke", texts)

    async def deny(
        self, name: str, capabilities: Iterable[str], *, because: str = "", by: str = ""
    ) -> InstallationView:
        """A deny rule beats every grant; what it names need not be asked for. Raises Invalid for one that no service of
        this host would ever look at: whoever mistypes it would believe to have denied something.
        """
        await self._parts.store.installations.get(name)
        texts = _canonical(capabilities)
        _check_known(texts, self._parts.broker.verbs | UNCALLED_VERBS)
        await self._parts.store.grants.grant(name, texts, by=by or "someone", because=because, effect=Effect.DENY)
        return await self._changed(name, by, "deny", texts, because)

    async def undeny(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        await self._parts.store.installations.get(name)
        texts = _canonical(capabilities)
        await self._parts.store.grants.revoke(name, texts, effect=Effect.DENY)
        return await self._changed(name, by, "undeny", texts)

    async def use(self, name: str) -> UseView:
        """What it makes of its rights. Afterwards its grants tell of all calls before."""
        await self._parts.store.installations.get(name)
        await self._parts.grant_use.flush()
        return self._parts.grant_use.of(name)

    async def shown(self, installation: Installation) -> Shown:
        store = self._parts.store.grants
        rights, rows = await store.rights(installation.id), await store.list(installation.id)
        views = grant_views(installation.manifest, rows, rights, self._words)
        return Shown(views, denial_views(rows, self._words), dangers(in_effect(rights)))

    async def regrant(self, name: str, by: str) -> EffectiveGrants:
        """What is stored counts from the next call on."""
        grants = await self._parts.supervisor.regrant(name)
        self._parts.events.announce(GrantsChanged(name, grants.epoch, by))
        return grants

    async def _changed(
        self, name: str, by: str, action: str, texts: Iterable[str], because: str = ""
    ) -> InstallationView:
        await self.regrant(name, by)
        await record_rights(self._act, action, name, by, texts, because)
        return await self._view(name)

    @property
    def _words(self) -> Words:
        return self._parts.broker.words


def _ordered(installation: Installation, order: GrantOrder) -> tuple[str, ...]:
    texts = check_requested(installation.id, installation.manifest, order.capabilities)
    of_kind = tuple(
        str(request.capability)
        for request in installation.manifest.capabilities
        if (order.required and request.required) or (order.optional and not request.required)
    )
    return tuple(dict.fromkeys(texts + of_kind))


def _check_known(texts: Iterable[str], verbs: frozenset[str]) -> None:
    for text in texts:
        verb = parse(text).verb
        if verb not in verbs:
            raise Invalid(
                f"No service of this host knows {verb}, so {text} denies nothing; {nearest_verb(verb, verbs)}"
            )


def _canonical(capabilities: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(str(parse(text)) for text in capabilities)
    except CapabilityInvalid as error:
        raise Invalid(str(error)) from error
