import concurrent.futures
import logging
import threading

import pytest

from moorage_proto import log_pb2, plugin_pb2, values
from moorage_proto.errors import CallError
from moorage_sdk import Plugin
from moorage_sdk.errors import HostUnavailable
from moorage_sdk.services import log as log_service
from moorage_sdk.services.log import HostHandler, LogLevels

from .conftest import Call


class SlowChannel:
    """Takes batches; answers when the test says so."""

    def __init__(self):
        self.batches = []
        self.futures = []

    def submit(self, method, request, *, timeout=None):
        self.batches.append(list(request.records))
        self.futures.append(concurrent.futures.Future())
        return self.futures[-1]

    def answer(self):
        self.futures[-1].set_result(log_pb2.WriteLogReply())


@pytest.fixture
def channel():
    return SlowChannel()


@pytest.fixture
def logger(channel):
    logger = logging.Logger("churn")
    logger.addHandler(HostHandler(channel))
    return logger


def test_batches_collect_while_one_is_on_its_way(logger, channel):
    for number in range(5):
        logger.info("line %d", number)
    assert [len(batch) for batch in channel.batches] == [1]
    channel.answer()
    assert [[record.message for record in batch] for batch in channel.batches] == [
        ["line 0"],
        ["line 1", "line 2", "line 3", "line 4"],
    ]
    channel.answer()
    logger.info("last")
    assert len(channel.batches) == 3


def test_what_is_too_much_is_dropped_and_counted(logger, channel, monkeypatch):
    monkeypatch.setattr(log_service, "MAX_WAITING", 3)
    for number in range(10):
        logger.info("line %d", number)
    channel.answer()
    assert [record.message for record in channel.batches[1]] == [
        "line 1",
        "line 2",
        "line 3",
        "6 log records were dropped here: they came faster than the host takes them",
    ]


async def test_flush_waits_for_what_was_logged(logger, channel):
    (handler,) = logger.handlers
    await handler.flush_async()
    logger.info("a")
    logger.info("b")
    answers = threading.Timer(0.01, lambda: (channel.answer(), channel.answer()))
    answers.start()
    await handler.flush_async()
    assert sum(map(len, channel.batches)) == 2
    handler.flush()
    answers.join()


def test_fields_exceptions_and_odd_texts(logger, channel):
    try:
        raise LookupError("no users")
    except LookupError:
        logger.exception("failed \ud800", extra={"users": 3, "object": object, "nested": {"a": [1]}})
    (record,) = channel.batches[0]
    assert record.message == "failed \\ud800"
    assert record.level == logging.ERROR
    assert record.logger == "churn"
    assert record.exception.endswith("LookupError: no users\n")
    assert "test_log.py" in record.exception
    fields = values.record_from_wire(record.fields)
    assert fields == {"users": 3, "object": "<class 'object'>", "nested": {"a": [1]}}


def test_long_messages_are_cut(logger, channel):
    logger.info("x" * 100_000)
    (record,) = channel.batches[0]
    assert record.message.endswith("... (100000 characters)")
    assert len(record.message) < 65_000


def test_a_lost_link_holds_nobody_up(monkeypatch):
    class LostChannel:
        def submit(self, method, request, *, timeout=None):
            from moorage_proto.errors import Reason, Status

            raise HostUnavailable(Status.UNAVAILABLE, Reason.LINK_CLOSED, "the link has ended")

    logger = logging.Logger("churn")
    logger.addHandler(HostHandler(LostChannel()))
    logger.info("a")
    logger.info("b")
    logger.handlers[0].flush()


def test_logging_while_sending_does_not_go_round(channel):
    logger = logging.Logger("churn")

    class Chatty(SlowChannel):
        def submit(self, method, request, *, timeout=None):
            logger.info("sending")
            return super().submit(method, request, timeout=timeout)

    chatty = Chatty()
    logger.addHandler(HostHandler(chatty))
    logger.info("a")
    assert [[record.message for record in batch] for batch in chatty.batches] == [["a"]]


def test_records_carry_the_scope_also_from_threads_with_its_context(kit):
    import contextvars

    plugin = Plugin()

    @plugin.on_load
    def load(log: logging.Logger):
        log.info("loading")

    @plugin.task
    def execute(log: logging.Logger) -> None:
        log.debug("never seen")
        logging.getLogger("shop_models").warning("from a library")
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(log.info, "from a thread"))
        thread.start()
        thread.join()

    run = kit.run(execute)
    assert [(line.logger, line.level, line.message, line.execution) for line in run.logs] == [
        ("churn", "INFO", "loading", ""),
        ("shop_models", "WARNING", "from a library", "e-1"),
        ("churn", "INFO", "from a thread", "e-1"),
    ]
    assert kit.logs == list(run.logs)


@pytest.fixture
def restored():
    names = ("", "churn.one", "churn.two")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_levels_are_set_and_given_back(restored):
    levels, one, two = LogLevels(), logging.getLogger("churn.one"), logging.getLogger("churn.two")
    one.setLevel(logging.ERROR)
    levels.apply(logging.DEBUG, {"churn.one": logging.WARNING, "churn.two": logging.CRITICAL})
    assert [logging.getLogger().level, one.level, two.level] == [10, 30, 50]
    levels.apply(logging.INFO, {"churn.one": logging.DEBUG})
    assert [logging.getLogger().level, one.level, two.level] == [20, 10, 0]
    levels.apply(logging.INFO, {})
    assert one.level == logging.ERROR


async def test_levels_are_set_while_the_plugin_is_stuck(runtime, restored):
    """The link's thread does it: here, no turn of the plugin's loop passes."""
    made = runtime("")
    call = Call("set_log_levels", plugin_pb2.SetLogLevelsRequest(level=10, loggers={"churn.one": 30}))
    made.dispatch(call)
    assert call.answer.done()
    assert [logging.getLogger().level, logging.getLogger("churn.one").level] == [10, 30]
    broken = Call("set_log_levels", b"\xff")
    made.dispatch(broken)
    with pytest.raises(CallError):
        broken.answer.result()
