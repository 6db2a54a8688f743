"""The floods, and what may become of whoever makes them."""

from __future__ import annotations

from dataclasses import dataclass, field

FLOODER, FORKER = "flooder", "forker"


@dataclass(frozen=True)
class Flood:
    #: Of the flooder's tasks.
    task: str
    #: What holds it back, for people.
    bounded_by: str
    #: Kinds of verdicts that are true of its worker, where it does not outlive the flood.
    verdicts: frozenset[str] = field(default_factory=frozenset)
    #: Its worker must not outlive it by more than the watch needs that ends it.
    ends: bool = False
    installation: str = FLOODER
    #: The script asks for so many executions at one time, again and again; 0: one, which floods by itself.
    callers: int = 0
    #: Characters of the input, in place of the seconds.
    input_size: int = 0


#: A task that cannot be cancelled costs its worker.
_TAINTED = frozenset({"tainted"})
_MEMORY = frozenset({"out_of_memory"})
#: Native code that gets no more memory ends the process; the verdict says which code it was.
_ABORTED = _MEMORY | {"signalled"}
_LINK = frozenset({"protocol_violation", "link_lost"})

FLOODS = (
    Flood("nothing", "itself: for comparison"),
    Flood("log_records", "lines that the SDK drops, then those the host drops, both counted"),
    Flood("log_long_records", "lines that the SDK drops, then those the host drops, both counted"),
    Flood("short_lines", "its own pipe, which the host reads at a bounded pace"),
    Flood("empty_lines", "its own pipe, which the host reads at a bounded pace"),
    Flood("endless_line", "its own pipe, which the host reads at a bounded pace; the line is cut"),
    Flood("progress", "one report on its way at a time"),
    Flood("calls_threads", "its share of the event loop; where it is alone, limits.calls_per_second"),
    Flood("calls_async", "its share of the event loop; where it is alone, limits.calls_per_second"),
    Flood("statements", "the host's CPU time for its statements"),
    Flood("heavy_statements", "the host's CPU time for its statements"),
    Flood("sorted_rows", "the host's CPU time for its statements"),
    Flood("denied_async", "its share of the event loop; the audit counts"),
    Flood("denied_threads", "its share of the event loop; the audit counts"),
    Flood("memory", "limits.memory", _MEMORY),
    Flood("slow_memory", "limits.memory", _MEMORY),
    Flood("shared_memory", "limits.memory", _ABORTED, ends=True),
    Flood("threads", "limits.pids"),
    Flood("processes", "limits.pids", installation=FORKER),
    Flood("many_files", "limits.data_files", frozenset({"disk_full"}), ends=True),
    Flood("big_files", "limits.data", frozenset({"disk_full"}), ends=True),
    Flood("temporary_files", "the size of /tmp and /dev/shm", _MEMORY),
    Flood("own_descriptors", "its open files", _LINK),
    Flood("dials", "a socket that is gone once the worker is in"),
    Flood("cursors", "connections and cursors of one installation"),
    Flood("transactions", "one writer at a time, and an idle transaction's end"),
    Flood("spin_python", "sandbox.cpus"),
    Flood("spin_power", "sandbox.cpus", _TAINTED),
    Flood("spin_pattern", "sandbox.cpus", _TAINTED),
    Flood("spin_all_cores", "sandbox.cpus"),
    Flood("system_calls", "sandbox.cpus"),
    Flood("huge_parameters", "limits.bytes_per_second and bytes in flight", _ABORTED),
    Flood("queued_parameters", "bytes in flight", _ABORTED),
    Flood("huge_rows", "the size of a row, and the host's CPU time for its statements", _ABORTED),
    Flood("many_rows", "credit, and the host's CPU time for its statements"),
    Flood("unread_streams", "credit, cursors and connections"),
    Flood("deep_values", "the depth of a value", _LINK),
    Flood("wide_values", "the parts of a value", _ABORTED | _LINK),
    Flood("huge_result", "the size of a result", _ABORTED, callers=2),
    Flood("large_result", "the size of a result", _ABORTED, callers=2),
    Flood("take", "the size of an input", _ABORTED, callers=1, input_size=1024 * 1024),
    Flood("kafka_messages", "unacknowledged messages, and its share of the event loop"),
    Flood("kafka_bytes", "unacknowledged bytes and limits.bytes_per_second", _ABORTED),
    Flood("kafka_topics", "unacknowledged messages, and its share of the event loop"),
)
