"""The last step of becoming a worker: the interpreter looks like the plugin's own virtual environment, and runs."""

from __future__ import annotations

import importlib
import os
import site
import sys

from moorage_sandbox.plan import ProgramPlan


def look_like_a_venv() -> None:
    """What code asks to find out where it runs: sys.prefix is the venv, sys.base_prefix the interpreter's."""
    sys.prefix = sys.exec_prefix = "/venv"
    sys.base_prefix = sys.base_exec_prefix = "/py"
    sys.executable = "/venv/bin/python"
    sys.dont_write_bytecode = True


def run(plan: ProgramPlan) -> None:
    """Sets environment and paths, then calls the entry. From site-packages on, code may be the plugin's."""
    look_like_a_venv()
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
