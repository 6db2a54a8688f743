"""Tasks that cost nothing: what is measured is the way to them, and back."""

from moorage_sdk import Plugin
from moorage_sdk.messages import RedisMessage

plugin = Plugin()


@plugin.task
async def submitted() -> None: ...


@plugin.task
async def streamed(message: RedisMessage) -> None: ...
