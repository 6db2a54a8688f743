import contextlib
import hashlib
import json
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from scrobbler.lastfm import API, NotAuthorised, signature
from scrobbler.scrobbling import NotConnected, Playing, authorize, confirm, now_playing, played, scrobble

from moorage_sdk.testing.http import answer

AT = datetime(2026, 9, 1, 8, tzinfo=timezone.utc)
BEGAN = int(AT.timestamp())


class StandIn:
    """Last.fm as its documentation has it, in memory."""

    def __init__(self):
        self.scrobbles = []
        self.now = []
        self.approved = False
        self.down = None

    def __call__(self, request):
        fields = {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        if self.down is not None:
            return self.down
        if fields.pop("format") != "json" or fields.pop("api_sig") != self.signature(fields):
            return self.error(13, "Invalid method signature supplied")
        methods = {
            "auth.getToken": self.token,
            "auth.getSession": self.session,
            "track.updateNowPlaying": self.now_playing,
            "track.scrobble": self.scrobble,
        }
        return methods[fields["method"]](fields)

    @staticmethod
    def signature(fields):
        text = "".join(name + fields[name] for name in sorted(fields))
        return hashlib.md5((text + "s3cret").encode()).hexdigest()

    @staticmethod
    def error(code, message, status=200):
        return answer(status, json={"error": code, "message": message})

    def token(self, _):
        return answer(json={"token": "t0ken"})

    def session(self, _):
        if not self.approved:
            return self.error(14, "This token has not been authorized", 403)
        return answer(json={"session": {"name": "ada", "key": "s3ssion"}})

    def now_playing(self, fields):
        self.now.append(fields["track"])
        return answer(json={"nowplaying": {}})

    def scrobble(self, fields):
        if fields["sk"] != "s3ssion":
            return self.error(9, "Invalid session key")
        count = sum(name.startswith("track[") for name in fields)
        self.scrobbles += [(fields[f"track[{index}]"], int(fields[f"timestamp[{index}]"])) for index in range(count)]
        return answer(json={"scrobbles": {"@attr": {"accepted": count, "ignored": 0}}})


@pytest.fixture
def lastfm(moorage):
    stand_in = StandIn()
    moorage.http.respond("POST", API, stand_in)
    moorage.secrets["LASTFM_KEY"] = "k3y"
    moorage.secrets["LASTFM_SECRET"] = "s3cret"
    return stand_in


@pytest.fixture
def connected(moorage, lastfm):
    moorage.secrets["LASTFM_SESSION"] = "s3ssion"
    return lastfm


def track(name="Army of Me", **more):
    return Playing("Björk", name, "Post", seconds=234, heard_seconds=more.pop("heard_seconds", 200), started_at=AT)


def pending(moorage):
    return moorage.sql.rows("SELECT track, refused FROM scrobbler_pending ORDER BY timestamp, id")


def test_the_signature_is_the_one_of_the_documentation():
    parameters = {"method": "auth.getSession", "api_key": "xxxxxxxx", "token": "yyyyyy"}
    expected = hashlib.md5(b"api_keyxxxxxxxxmethodauth.getSessiontokenyyyyyyilovecher").hexdigest()
    assert signature(parameters, "ilovecher") == expected


def test_a_user_is_connected_in_two_steps(moorage, lastfm):
    page = urlsplit(moorage.run(authorize).result)
    assert (page.netloc, parse_qs(page.query)) == ("www.last.fm", {"api_key": ["k3y"], "token": ["t0ken"]})
    assert isinstance(moorage.run(confirm).error, NotAuthorised)

    lastfm.approved = True
    assert moorage.run(confirm).result == "ada"
    assert moorage.secrets.values == {"LASTFM_KEY": "k3y", "LASTFM_SECRET": "s3cret", "LASTFM_SESSION": "s3ssion"}


@pytest.mark.usefixtures("lastfm")
def test_confirming_before_anybody_was_asked(moorage):
    with pytest.raises(NotConnected, match="run the task authorize first"):
        _ = moorage.run(confirm).result


def test_what_plays_is_told(moorage, connected):
    assert moorage.handle(now_playing, "track.playing", track()).error is None
    assert connected.now == ["Army of Me"]


def test_a_listening_is_scrobbled_once(moorage, connected):
    for _ in range(2):
        assert moorage.handle(played, "track.played", track()).error is None
    assert set(connected.scrobbles) == {("Army of Me", BEGAN)}
    assert pending(moorage) == []


@pytest.mark.parametrize(("seconds", "heard"), [(20, 20), (300, 100), (1000, 200)])
def test_what_was_hardly_heard_is_not(moorage, connected, seconds, heard):
    moorage.handle(played, "track.played", Playing("Can", "Halleluhwah", seconds=seconds, heard_seconds=heard))
    assert connected.scrobbles == []


@pytest.mark.parametrize(
    "down",
    [
        answer(503, text="<html>offline</html>"),
        answer(200, json={"error": 11, "message": "Service Offline"}),
        answer(429, json={"error": 29, "message": "Rate Limit Exceeded"}),
        answer(200, json=["no", "object"]),
    ],
)
def test_while_it_is_down_nothing_is_lost(moorage, connected, down):
    connected.down = down
    for name in ("One", "Two"):
        assert moorage.handle(played, "track.played", track(name)).error is None
    assert [name for name, _ in pending(moorage)] == ["One", "Two"]
    assert moorage.run(scrobble).result.waiting == 2

    connected.down = None
    report = moorage.run(scrobble).result
    assert (report.sent, report.waiting, report.refused) == (2, 0, 0)
    assert [name for name, _ in connected.scrobbles] == ["One", "Two"]
    assert pending(moorage) == []


def test_a_network_that_is_gone_is_the_same(moorage, connected):
    moorage.http.fail("POST", API, "connect_timeout")
    moorage.handle(played, "track.played", track())
    assert len(pending(moorage)) == 1
    moorage.http.respond("POST", API, connected)
    assert moorage.run(scrobble).result.sent == 1


def test_two_may_send_at_the_same_time(moorage, connected):
    connected.down = answer(503)
    moorage.handle(played, "track.played", track())
    connected.down = None

    def while_another_has_sent(request):
        told = connected(request)
        with contextlib.closing(moorage.sql.database().connect()) as other:
            other.execute("DELETE FROM scrobbler_pending")
            other.commit()
        return told

    moorage.http.respond("POST", API, while_another_has_sent)
    assert moorage.run(scrobble).error is None
    assert pending(moorage) == []


def test_many_are_sent_in_batches(moorage, connected):
    connected.down = answer(503)
    for number in range(120):
        moorage.handle(played, "track.played", track(f"Track {number}"))
    connected.down = None
    moorage.http.requests.clear()
    assert moorage.run(scrobble).result.sent == 120
    assert len(moorage.http.requests) == 3


def test_it_is_written_down_before_last_fm_is_waited_for(moorage, connected):
    seen = []

    def look(request):
        seen.append(pending(moorage))
        return connected(request)

    moorage.http.respond("POST", API, look)
    moorage.handle(played, "track.played", track())
    assert seen == [[("Army of Me", "")]]
    assert pending(moorage) == []


def test_one_that_is_refused_takes_no_other_with_it(moorage, connected):
    connected.down = answer(503)
    for number in range(20):
        moorage.handle(played, "track.played", track(f"Track {number}"))
    connected.down = None

    def picky(request):
        if "Track+13" in request.body.decode():
            return connected.error(6, "Invalid parameters", 400)
        return connected(request)

    moorage.http.respond("POST", API, picky)
    report = moorage.run(scrobble).result
    assert (report.sent, report.refused, report.waiting) == (19, 1, 0)
    ((name, reason),) = pending(moorage)
    assert (name, "Invalid parameters" in reason) == ("Track 13", True)


def test_what_is_refused_stays_with_its_reason(moorage, connected):
    connected.down = answer(400, json={"error": 6, "message": "Invalid parameters"})
    moorage.handle(played, "track.played", track())
    ((name, reason),) = pending(moorage)
    assert (name, "Invalid parameters" in reason) == ("Army of Me", True)
    assert moorage.run(scrobble).result.waiting == 0


@pytest.mark.usefixtures("connected")
def test_a_session_that_ended_is_forgotten_and_nothing_else(moorage):
    moorage.secrets["LASTFM_SESSION"] = "old"
    run = moorage.handle(played, "track.played", track())
    assert any("authorize the plugin again" in line.message for line in run.logs)
    assert "LASTFM_SESSION" not in moorage.secrets.values
    assert len(pending(moorage)) == 1


@pytest.mark.usefixtures("lastfm")
def test_nobody_is_connected(moorage):
    assert moorage.handle(now_playing, "track.playing", track()).error is None
    assert moorage.handle(played, "track.played", track()).error is None
    assert moorage.run(scrobble).result.waiting == 1
    assert moorage.http.requests == []


@pytest.mark.usefixtures("lastfm")
def test_without_the_rights_it_says_so(moorage):
    moorage.deny("http.post:https://ws.audioscrobbler.com/2.0/")
    with pytest.raises(NotConnected, match="moorage grants"):
        _ = moorage.run(authorize).result


def test_no_secret_is_in_a_log(moorage, connected):
    connected.down = answer(503)
    moorage.handle(played, "track.played", track())
    assert "s3" not in json.dumps([line.message for line in moorage.logs])
