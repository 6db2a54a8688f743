"""What a sender is told, and what is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_clock import FakeClock

from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest, Trigger
from moorage.models.policy import Origin, RunPolicy
from moorage.models.trigger import TriggerState
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.door import DoorParts
from moorage.orchestrator.triggers.signature import TOLERANCE, sign
from moorage.orchestrator.triggers.webhook import Request, WebhookRefused, Webhooks
from moorage.store.errors import NotStorable, StoreFailed
from moorage_sdk import messages

BODY = b'{"number": 7}'


class World:
    """A host with one webhook, "orders" of churn."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.secrets: dict[str, str | None] = {"WEBHOOK_SECRET": "s1"}
        self.state = TriggerState(
            "churn/orders", Trigger("webhook", "orders", options={"secret": "WEBHOOK_SECRET"}), Origin.MANIFEST, "churn"
        )
        manifest = Manifest("churn", "1.2.0", "churn:plugin")
        self.installation = Installation(
            "churn", manifest, Path("churn"), Path("churn"), "", ("",), "", desired=DesiredState()
        )
        #: Where there are several.
        self.installations: list[Installation] = []
        self.may_run = True
        self.refusal: Exception | None = None
        #: Raised where a request is counted, after it was written down.
        self.uncounted: Exception | None = None
        self.submitted: list[ExecutionRequest] = []
        self.fires: list[str] = []
        self._book: dict[str, Execution] = {}
        parts = DoorParts(self, self, self.clock, lambda _: RunPolicy(), self._targets, lambda name: self.installation)
        self.webhooks = Webhooks(self, parts, self._secret, per_second=5)

    async def submit(self, request: ExecutionRequest) -> Execution:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(request)
        made = Execution(
            f"e-{len(self.submitted)}",
            "churn",
            "churn",
            "1",
            request.task,
            "webhook",
            ExecutionState.QUEUED,
            self.clock.now(),
        )
        return self._book.setdefault(request.key, made) if request.key else made

    async def wait(self, execution_id: str) -> Execution:
        raise AssertionError("a sender is answered before there is an outcome")

    async def fired(self, trigger, execution, *, at) -> None:
        if self.uncounted is not None:
            raise self.uncounted
        self.fires.append(execution)

    async def skipped(self, trigger, count=1) -> None: ...

    async def receive(self, body=BODY, *, name="orders", installation="churn", known=False, **headers) -> Execution:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        request = Request("POST", f"/v1/webhooks/{installation}/{name}", {"a": ["1"]}, given, body, known)
        return await self.webhooks.receive(installation, name, request)

    async def signed(self, body=BODY, *, secret="s1", **given) -> Execution:
        return await self.receive(body, moorage_signature=sign(secret, body, self.clock.now()), **given)

    async def _targets(self, state):
        return (self.installations or [self.installation]) if self.may_run else []

    def webhook(self, installation, name):
        return self.state if (installation, name) == (self.state.installation, "orders") else None

    def obstacle(self, state):
        return "it is paused" if state.paused else ""

    async def _secret(self, installation, name):
        return self.secrets.get(name)


@pytest.fixture
def world() -> World:
    return World()


async def refused(attempt) -> tuple[int, str, int | None]:
    with pytest.raises(WebhookRefused) as found:
        await attempt
    return found.value.http_status, found.value.code, found.value.retry_seconds


async def test_a_signed_request_is_an_execution_that_is_queued(world):
    execution = await world.signed(content_type="application/json", cookie="c", authorization="Bearer x")
    assert execution.state is ExecutionState.QUEUED
    (request,) = world.submitted
    assert (request.task, request.trigger, request.trigger_id, request.patient) == (
        "execute",
        "webhook",
        "churn/orders",
        True,
    )
    message = messages.brought(request.input)
    assert isinstance(message, messages.WebhookRequest)
    assert message.headers == {"content-type": "application/json"}
    assert (message.body, message.query) == (BODY, {"a": ["1"]})
    assert world.fires == ["e-1"]


async def test_without_a_signature_it_is_refused_and_told_nothing_else(world):
    assert await refused(world.receive()) == (401, "signature_invalid", None)
    assert await refused(world.signed(secret="s2")) == (401, "signature_invalid", None)
    assert not world.submitted


def close(world):
    world.may_run = False


def pause(world):
    world.state = replace(world.state, paused=True)


@pytest.mark.parametrize("away", [close, pause])
async def test_who_cannot_sign_cannot_tell_what_works_what_may_not_run_and_what_is_not_there(world, away):
    async def answers() -> set[str]:
        found = set()
        for name, installation in (("orders", "churn"), ("others", "churn"), ("orders", "nobody")):
            with pytest.raises(WebhookRefused) as answer:
                await world.receive(name=name, installation=installation)
            found.add(f"{answer.value.http_status} {answer.value.code} {answer.value}")
        return found

    working = await answers()
    away(world)
    assert len(working | await answers()) == 1
    assert await refused(world.signed()) == (503, "webhook_away", 30)
    assert not world.submitted


async def test_a_caller_that_is_known_is_told_what_is_not_there(world):
    assert (await refused(world.receive(name="others", known=True)))[:2] == (404, "webhook_unknown")


async def test_a_request_that_comes_again_is_the_same_execution(world):
    first = await world.signed(idempotency_key="order-7")
    world.clock.advance(seconds=60)
    # Signed anew, as a sender does that was not answered.
    assert await world.signed(idempotency_key="order-7") == first
    assert await world.signed(b"another", idempotency_key="order-8") != first
    assert world.fires == ["e-1", "e-3"]


async def test_a_signature_is_one_request_s(world):
    signature = sign("s1", BODY, world.clock.now())
    first = await world.receive(moorage_signature=signature)
    assert await world.receive(moorage_signature=signature) == first
    replayed = world.receive(moorage_signature=signature, idempotency_key="another")
    assert await refused(replayed) == (409, "signature_used", None)
    world.clock.advance(seconds=2 * TOLERANCE.total_seconds() + 1)
    assert await refused(world.receive(moorage_signature=signature)) == (401, "signature_invalid", None)


async def test_github_s_form_and_its_delivery_id(world):
    import hashlib
    import hmac

    options = {"secret": "WEBHOOK_SECRET", "signature": "github"}
    world.state = replace(world.state, trigger=replace(world.state.trigger, options=options))
    digest = f"sha256={hmac.digest(b's1', BODY, hashlib.sha256).hex()}"
    first = await world.receive(x_hub_signature_256=digest, x_github_delivery="d-1")
    assert await world.receive(x_hub_signature_256=digest, x_github_delivery="d-1") == first
    assert await world.receive(x_hub_signature_256=digest, x_github_delivery="d-2") != first
    # Two of the same body, of a sender that does not number them, are two.
    assert await world.receive(x_hub_signature_256=digest) != await world.receive(x_hub_signature_256=digest)
    assert (await refused(world.signed()))[0] == 401


async def test_the_old_secret_counts_beside_the_new_one(world):
    world.secrets = {"WEBHOOK_SECRET": "s2", "WEBHOOK_SECRET_OLD": "s1"}
    assert await world.signed(secret="s1")
    assert await world.signed(secret="s2")
    world.secrets.pop("WEBHOOK_SECRET_OLD")
    assert (await refused(world.signed(secret="s1", body=b"later")))[0] == 401


async def test_a_secret_that_is_not_there_lets_nobody_in(world, caplog):
    world.secrets = {}
    assert (await refused(world.signed()))[0] == 401
    assert (await refused(world.signed(secret="")))[0] == 401
    # Strangers do not fill the log.
    assert caplog.text.count("moorage secrets set churn WEBHOOK_SECRET") == 1
    world.secrets = {"WEBHOOK_SECRET": "s1"}
    assert await world.signed()
    world.secrets = {}
    assert (await refused(world.signed()))[0] == 401
    assert caplog.text.count("moorage secrets set churn WEBHOOK_SECRET") == 2


async def test_one_without_a_secret_takes_callers_that_are_known_otherwise(world):
    world.state = replace(world.state, trigger=replace(world.state.trigger, options={}))
    assert (await refused(world.receive()))[0] == 401
    assert await world.receive(known=True) != await world.receive(known=True)


async def test_a_known_caller_signs_too_where_there_is_a_secret(world):
    assert (await refused(world.receive(known=True)))[0] == 401
    assert await world.signed(known=True)


async def test_a_full_queue_is_told_apart_from_what_may_not_run(world):
    world.refusal = NotNow("The queue of churn is full.")
    assert await refused(world.signed()) == (429, "webhook_busy", 5)
    world.installation = replace(world.installation, desired=DesiredState(enabled=False))
    assert await refused(world.signed()) == (503, "webhook_away", 30)
    world.refusal = None
    assert await world.signed()


async def test_a_store_that_fails_lets_the_sender_try_again(world):
    world.refusal = StoreFailed("The store is away.")
    assert await refused(world.signed()) == (503, "webhook_away", 30)
    world.refusal = NotStorable("it is too deep")
    assert (await refused(world.signed()))[0] == 422


async def test_no_more_are_taken_in_a_second_than_the_settings_say(world):
    for number in range(5):
        await world.signed(str(number).encode())
    assert await refused(world.signed(b"5")) == (429, "webhook_busy", 5)
    # Those that cannot sign take nothing of it.
    assert (await refused(world.receive()))[0] == 401
    world.clock.advance(seconds=0.2)
    assert await world.signed(b"5")


async def test_one_that_selects_is_of_each_that_it_selects(world):
    world.state = replace(world.state, id="orders", installation="")
    await world.signed()
    assert world.submitted[0].key.startswith("orders@churn#")
    assert await refused(world.signed(installation="others")) == (503, "webhook_away", 30)
    assert (await refused(world.receive(installation="others")))[0] == 401


async def test_a_key_is_bounded(world):
    assert (await refused(world.signed(idempotency_key="k" * 201)))[0] == 400
    assert await world.signed(idempotency_key="k" * 200)


async def test_of_a_request_signed_twice_each_signature_is_the_same_request_s(world):
    """Who has read it sends it again by the other one."""
    world.secrets = {"WEBHOOK_SECRET": "s2", "WEBHOOK_SECRET_OLD": "s1"}
    time, new = sign("s2", BODY, world.clock.now()).split(",")
    old = sign("s1", BODY, world.clock.now()).split(",")[1]
    first = await world.receive(moorage_signature=f"{time},{new},{old}")
    for again in (f"{time},{old},{new}", f"{time},{old}", f"{time},{new}"):
        assert await world.receive(moorage_signature=again) == first
        assert await refused(world.receive(moorage_signature=again, idempotency_key="x")) == (
            409,
            "signature_used",
            None,
        )
        world.clock.advance(seconds=1)


async def test_what_is_written_down_is_told_as_that_although_it_is_not_counted(world):
    """Who is told that it was not kept signs it anew, and it would run twice."""
    world.uncounted = StoreFailed("The store is away.")
    assert (await world.signed()).id == "e-1"


async def test_of_one_that_selects_each_address_has_a_pace_of_its_own(world):
    world.state = replace(world.state, id="orders", installation="")
    other = replace(world.installation, id="others")
    world.installations = [world.installation, other]
    for number in range(5):
        await world.signed(str(number).encode())
    assert (await refused(world.signed(b"5")))[0] == 429
    assert await world.signed(b"5", installation="others")
