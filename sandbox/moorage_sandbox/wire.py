"""What host and zygote say to each other: small JSON messages, one each, on SOCK_SEQPACKET sockets.

Control socket, one for each zygote. The host closing it ends the zygote, and with it, by the kernel, every worker.
  host:   {"start": id} with five descriptors: plan, start record, stdout, stderr, status. With "tasks": count, as many
          more, "tasks" files of version 1 control groups; with "unified": true, one more, a version 2 group's folder
          {"kill": id}
  zygote: {"ready": true} once, or {"failed": {step, errno, message}} and its end
          {"started": id}, or {"refused": id, "failed": {...}}
          {"ended": id, "status": what waitpid(2) told}
Status socket, one for each worker. Its descriptor in the worker is closed before anything of the plugin runs.
  worker: {"sealed": {"landlock": abi, "listener": bool, "proxy": bool}} when every layer is on, with a descriptor for
          each that is true: where forbidden calls are told, and its one listening socket; or {"failed": {...}} and its
          end
  host:   GO, after it has looked at the process from outside
"""

from __future__ import annotations

import json
from typing import Any, Dict

#: Longest message; descriptors in one message.
MESSAGE_BYTES = 8192
START_FDS = 5
#: The same with the groups that the worker begins in.
MOST_FDS = START_FDS + 8

GO = b"go"

#: Exit code of a worker whose sandbox could not be made.
SETUP_EXIT = 97

#: A zygote's descriptors: 0 and 1 are /dev/null, 2 is the host's.
CONTROL_FD = 3
OWN_PID_NAMESPACE_FD = 4
PROC_FD = 5
PRELOAD_PLAN_FD = 6

#: A worker's, until it is sealed: 0, 1 and 2 are the start record and the host's pipes; PROC_FD stays for a while.
STATUS_FD = 3
WORKER_PLAN_FD = 4
#: At the level full-bwrap: where the plugin's standard error waits while bwrap's own goes to the host.
STDERR_FD = 5
#: Where its one listening socket waits for the host, if it has one.
PROXY_FD = 6


def encode(**message: Any) -> bytes:
    return json.dumps(message).encode()


def decode(data: bytes) -> Dict[str, Any]:
    message: Dict[str, Any] = json.loads(data)
    return message
