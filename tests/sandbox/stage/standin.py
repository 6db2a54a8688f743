"""Stands in for the SDK's bootstrap: reads code from standard input, runs it, prints what came of it.

As a script it is the control: the same code in a plain process.
"""

import ctypes
import errno
import json
import os
import sys


def call(number, *arguments):
    """A raw system call; its result, or OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [a if isinstance(a, (bytes, ctypes.Array)) or a is None else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def outcome_of(code, facts):
    scope = {"call": call, "facts": facts, "os": os, "ctypes": ctypes, "sys": sys}
    try:
        exec(code, scope)
    except OSError as error:
        return {"outcome": errno.errorcode.get(error.errno, type(error).__name__)}
    except Exception as error:
        return {"outcome": type(error).__name__, "text": str(error)}
    return {"outcome": "escaped", "value": scope.get("value")}


def main():
    record = json.loads(b"".join(iter(lambda: os.read(0, 65536), b"")))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    print(json.dumps(outcome_of(record["code"], record["facts"])), flush=True)
    sys.exit(record.get("exit", 0))


if __name__ == "__main__":
    main()
