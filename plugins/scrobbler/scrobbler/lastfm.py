"""Last.fm's API, as far as scrobbling needs it: signed calls, and what its errors mean for the caller.

https://www.last.fm/api/authspec and https://www.last.fm/api/scrobbling
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

API = "https://ws.audioscrobbler.com/2.0/"

#: Where people say yes; the token goes with them.
APPROVAL = "https://www.last.fm/api/auth/"

#: Scrobbles that one call takes.
BATCH = 50

#: Offline, temporarily unavailable, and called too often.
_LATER = frozenset({11, 16, 29})
#: The session key is no longer valid.
_NOT_AUTHORISED = frozenset({4, 9, 14, 15})


class Refused(Exception):
    """Last.fm says no, and would say so again."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Last.fm refused the call ({code}): {message}")
        self.code = code


class NotAuthorised(Refused):
    """Its user has to say yes first, or again."""


class Unavailable(Exception):
    """It may work later: the same call can be made again."""


@dataclass(frozen=True)
class Heard:
    """What one track's listening comes down to."""

    artist: str
    track: str
    album: str
    #: When it began, in seconds since 1970 UTC.
    timestamp: int


@dataclass(frozen=True)
class Account:
    """Who the calls are made for: the application, and the user who has authorised it."""

    key: str
    secret: str
    session: str = ""


class LastFm:
    def __init__(self, http: httpx.Client, account: Account, api: str = API) -> None:
        self._http = http
        self._account = account
        self._api = api

    def token(self) -> str:
        """For one authorisation; valid for an hour. Raises Refused or Unavailable, as all calls do."""
        return str(self._call("auth.getToken")["token"])

    def approval_url(self, token: str) -> str:
        """Where its user says yes."""
        return f"{APPROVAL}?{urlencode({'api_key': self._account.key, 'token': token})}"

    def session(self, token: str) -> tuple[str, str]:
        """Name and session key of the user who has said yes. Raises NotAuthorised before that."""
        session = self._call("auth.getSession", {"token": token})["session"]
        return str(session["name"]), str(session["key"])

    def now_playing(self, heard: Heard) -> None:
        fields = {"artist": heard.artist, "track": heard.track, "album": heard.album}
        self._call("track.updateNowPlaying", fields, signed_in=True)

    def scrobble(self, heard: Sequence[Heard]) -> int:
        """At most BATCH of them; how many were accepted, the others are not wanted (a date too old, say)."""
        fields: dict[str, str] = {}
        for index, one in enumerate(heard):
            fields[f"artist[{index}]"] = one.artist
            fields[f"track[{index}]"] = one.track
            fields[f"album[{index}]"] = one.album
            fields[f"timestamp[{index}]"] = str(one.timestamp)
        return int(self._call("track.scrobble", fields, signed_in=True)["scrobbles"]["@attr"]["accepted"])

    def _call(self, method: str, fields: Mapping[str, str] | None = None, *, signed_in: bool = False) -> Any:
        parameters = {"method": method, "api_key": self._account.key, **(fields or {})}
        if signed_in:
            parameters["sk"] = self._account.session
        signed = {**parameters, "api_sig": signature(parameters, self._account.secret), "format": "json"}
        try:
            answer = self._http.post(self._api, data=signed)
        except httpx.TransportError as error:
            raise Unavailable(f"Last.fm cannot be reached: {error}") from error
        return _read(answer)


def signature(parameters: Mapping[str, str], secret: str) -> str:
    """Names and values in the order of the names, then the secret; MD5, as the API has it."""
    text = "".join(f"{name}{parameters[name]}" for name in sorted(parameters)) + secret
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _read(answer: httpx.Response) -> Any:
    try:
        told = answer.json()
    except ValueError:
        raise Unavailable(f"Last.fm answered with status {answer.status_code} and no JSON") from None
    if not isinstance(told, dict):
        raise Unavailable(f"Last.fm answered with status {answer.status_code}, and not with an object")
    if "error" not in told:
        return told
    code, message = int(told["error"]), str(told.get("message", ""))
    if code in _LATER:
        raise Unavailable(f"Last.fm says that it works later ({code}): {message}")
    raise (NotAuthorised if code in _NOT_AUTHORISED else Refused)(code, message)
