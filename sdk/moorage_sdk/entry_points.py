"""From the manifest's entry point, "churn.plugin:plugin", to the Plugin object."""

from __future__ import annotations

import importlib
import traceback
from pathlib import PurePath
from types import ModuleType

from moorage_sdk import tracebacks
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.plugin import Plugin


def load(entry_point: str) -> Plugin:
    """Imports the plugin's module.

    Raises PluginInvalid with a sentence and, where the plugin's own code raised, its traceback.
    """
    module_name, colon, attribute = entry_point.partition(":")
    if not (module_name and colon and attribute):
        raise PluginInvalid(f"{entry_point!r} is not an entry point; write module:object, such as churn.plugin:plugin")
    module = _import(module_name)
    found = getattr(module, attribute, None)
    if isinstance(found, Plugin):
        return found
    if found is None:
        problem = f"module {module_name!r} has no object {attribute!r}"
    else:
        problem = f"{entry_point!r} is of type {type(found).__name__}, and should be a moorage_sdk.Plugin"
    raise PluginInvalid(f"{problem}; {_hint(module_name, module)}")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:  # a module may raise anything, SystemExit included
        if isinstance(error, KeyboardInterrupt):
            raise
        problem = f"importing {name!r} raised {tracebacks.message_of(error)}{_place(name, error)}"
        invalid = PluginInvalid(f"{problem}{_advice(name, error)}")
        invalid.task = tracebacks.failure_of(error)
        raise invalid from error


def _place(name: str, error: BaseException) -> str:
    """ " (plugin.py, line 60)", the plugin's line that was last reached; a SyntaxError says it by itself."""
    if isinstance(error, SyntaxError):
        return ""
    package = name.partition(".")[0]
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return f" ({PurePath(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def _advice(name: str, error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if name == error.name or name.startswith(error.name + "."):
        return "; check [tool.moorage] plugin in pyproject.toml, and that the file is part of the project"
    return f"; if {error.name.partition('.')[0]!r} is another project, add it to dependencies in pyproject.toml"


def _hint(module_name: str, module: ModuleType) -> str:
    plugins = [name for name, value in vars(module).items() if isinstance(value, Plugin)]
    if plugins:
        return f"[tool.moorage] plugin in pyproject.toml should say {module_name}:{plugins[0]}"
    return "write plugin = Plugin() there"
