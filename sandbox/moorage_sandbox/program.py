"""The last step of becoming a worker: the interpreter looks like the plugin's own virtual environment, and runs."""

from __future__ import annotations

import importlib
import os
import site
import sys

from moorage_sandbox.inner import ProgramPlan


def look_like_a_venv(prefix: str, base_prefix: str) -> None:
    """What code asks to find out where it runs: sys.prefix is the venv, sys.base_prefix the interpreter's."""
    if prefix != sys.prefix:
        # It has taken the former prefix from there, and is imported anew by whoever needs it.
        sys.modules.pop("sysconfig", None)
        site.PREFIXES[:] = [prefix, prefix]
    sys.prefix = sys.exec_prefix = prefix
    sys.base_prefix = sys.base_exec_prefix = base_prefix
    sys.executable = f"{prefix}/bin/python"
    sys.dont_write_bytecode = True


def forget_launcher() -> None:
    """Drops what the launching code has left in ``__main__``, where a plugin would find it."""
    names = vars(sys.modules["__main__"])
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]


def run(plan: ProgramPlan) -> None:
    """Sets environment and paths, then calls the entry. From site-packages on, code may be the plugin's."""
    look_like_a_venv(plan.prefix, plan.base_prefix)
    forget_launcher()
    os.environ.clear()
    os.environ.update(dict(plan.env))
    os.chdir(plan.work_folder)
    sys.argv[:] = ["plugin"]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = ["plugin"]
    for stream in (sys.stdout, sys.stderr):
        # Lines reach the host's log as they are printed.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path[:] = plan.sys_path
    site.addsitedir(plan.site_packages)
    sys.path.extend(plan.late_path)
    module, _, function = plan.entry.partition(":")
    getattr(importlib.import_module(module), function)()
