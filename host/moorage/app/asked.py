"""What a version asks for that the one before did not, in plain sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.models.manifest import Manifest, RequestedCapability
from moorage.models.rights import Words, sentence
from moorage.store.effective import includes


def changes(name: str, before: Manifest, after: Manifest, words: Words) -> tuple[str, ...]:
    """A sentence for each capability that it asks for now and did not, or the other way round."""
    return tuple(_changes(name, before, after, words))


def _changes(name: str, before: Manifest, after: Manifest, words: Words) -> Iterator[str]:
    earlier = {request.capability: request for request in before.capabilities}
    for request in after.capabilities:
        known = earlier.get(request.capability)
        kind = "requires" if request.required else "can use"
        if known is None:
            yield f"+ {after.version} {kind} {described(request, words)}"
        elif known.required != request.required:
            now = "is required now" if request.required else "is optional now"
            yield f"~ {request.capability} {now}: {request.because}"
    wanted = [request.capability for request in after.capabilities]
    for gone in earlier:
        if not any(includes(wide, gone) for wide in wanted):
            yield f"- {gone} is not asked for any more. Where it was granted: moorage revoke {name} '{gone}'"


def described(request: RequestedCapability, words: Words) -> str:
    """ "sql.read:users. It reads the table users. Because: counts users" """
    because = f" Because: {request.because}" if request.because else ""
    return f"{request.capability}. {sentence(request.capability, words)}{because}"
