"""The plugin, and its settings. What it can do is declared on it by the other modules."""

from dataclasses import dataclass

from moorage_sdk import Plugin
from scrobbler.lastfm import API


@dataclass
class Settings:
    #: Where Last.fm's API is; another one speaks the same language, such as libre.fm's.
    lastfm_api: str = API


plugin = Plugin(settings=Settings)
