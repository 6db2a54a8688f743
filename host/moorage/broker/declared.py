"""What a plugin says of itself when it has loaded. Its SDK is in its own hands: so nothing of it is believed. Pure."""

from __future__ import annotations

from moorage.models.contributions import Contributions
from moorage.models.event import HandlerView
from moorage.models.extensions import Extension
from moorage.models.views import TaskView
from moorage_proto import plugin_pb2, topics, values
from moorage_proto.errors import CallError, Reason, Status

#: What one plugin may declare, its schemas included. The host keeps it, shows it, and compares handlers with events.
MAX_TASKS = 1000
MAX_HANDLERS = 100
MAX_EXTENSIONS = 100
MAX_DECLARED_BYTES = 1024 * 1024
MAX_DECLARED_PARTS = 50_000

#: That a plugin may have, in the order of its life; others are no hooks of this host.
HOOKS = ("on_load", "on_upgrade", "on_config_changed", "health", "on_error", "export_state", "on_unload")

#: Of one extension: its methods, and the messages that they take and answer with.
MAX_METHODS = 100
MAX_MESSAGES = 1000
#: Of all messages of all extensions: each is compared with the host's, while nobody else has a turn.
MAX_FIELDS = 10_000

#: Of a task, a handler, an extension point or a method of one.
MAX_NAME_LENGTH = 500


def read_declared(reply: plugin_pb2.LoadReply) -> Contributions:
    """Raises CallError with a sentence."""
    problem = _problem_of(reply)
    if not problem:
        try:
            return Contributions(
                tuple(map(_task_view, reply.tasks)),
                tuple(map(_handler_view, reply.handlers)),
                tuple(map(_extension, reply.extensions)),
                tuple(hook for hook in HOOKS if hook in reply.hooks),
            )
        except values.ValueInvalid as error:
            problem = f"a schema of it cannot be read: {error}."
    raise CallError(Status.INVALID_ARGUMENT, Reason.LOAD_FAILED, f"What the plugin declares is refused: {problem}")


def _problem_of(reply: plugin_pb2.LoadReply) -> str:
    """As the end of a sentence; empty: none."""
    for noun, count, most in (
        ("tasks", len(reply.tasks), MAX_TASKS),
        ("event handlers", len(reply.handlers), MAX_HANDLERS),
        ("extensions", len(reply.extensions), MAX_EXTENSIONS),
        ("methods of one extension", max((len(each.methods) for each in reply.extensions), default=0), MAX_METHODS),
        ("messages of one extension", max(map(_messages, reply.extensions), default=0), MAX_MESSAGES),
        ("fields of extensions", sum(map(_fields, reply.extensions)), MAX_FIELDS),
        ("bytes", reply.ByteSize(), MAX_DECLARED_BYTES),
    ):
        if count > most:
            return f"it has {count:,} {noun}, and at most {most:,} are taken."
    schemas = [schema for task in reply.tasks for schema in (task.input_schema, task.result_schema)]
    schemas += [handler.data_schema for handler in reply.handlers]
    try:
        values.check_parts([entry.value for schema in schemas for entry in schema.entries], MAX_DECLARED_PARTS)
    except values.ValueInvalid as error:
        return f"of its schemas, {error}."
    names = [*(task.name for task in reply.tasks), *(handler.name for handler in reply.handlers)]
    names += [name for each in reply.extensions for name in (each.point, *each.methods)]
    if any(not name.isprintable() or not 0 < len(name) <= MAX_NAME_LENGTH for name in names):
        return f"a task, handler or extension has a name that is none: 1 to {MAX_NAME_LENGTH} printable characters."
    return next(filter(None, (topics.problem_of_pattern(handler.topic) for handler in reply.handlers)), "")


def _messages(extension: plugin_pb2.Extension) -> int:
    return len(extension.contract.message_type)


def _fields(extension: plugin_pb2.Extension) -> int:
    return sum(len(message.field) for message in extension.contract.message_type)


def _extension(extension: plugin_pb2.Extension) -> Extension:
    return Extension(extension.point, extension.version, tuple(extension.methods), extension.contract)


def _handler_view(handler: plugin_pb2.EventHandler) -> HandlerView:
    return HandlerView(handler.name, handler.topic, handler.replies, values.record_from_wire(handler.data_schema))


def _task_view(task: plugin_pb2.Task) -> TaskView:
    return TaskView(
        task.name,
        task.summary,
        values.record_from_wire(task.input_schema),
        values.record_from_wire(task.result_schema),
    )
