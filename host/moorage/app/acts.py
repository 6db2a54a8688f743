"""What people do, on its way into the audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

#: Writes an action into the audit: what, of which installation, by whom, and a sentence.
Act = Callable[[str, str, str, str], Awaitable[None]]

#: Of the capabilities that one entry names: the audit cuts what is too long.
MAX_CHARACTERS = 500


async def record_rights(act: Act, action: str, name: str, by: str, texts: Iterable[str], because: str = "") -> None:
    """Every capability that was granted, revoked, denied or undenied, in as many entries as that takes."""
    for part in _parts(texts):
        await act(action, name, by, f"{', '.join(part)}{f': {because}' if because else ''}")


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for text in texts:
        if part and sum(map(len, part)) + len(text) > MAX_CHARACTERS:
            yield part
            part = []
        part.append(text)
    if part:
        yield part
