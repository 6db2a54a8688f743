"""The installer: uv, with an environment that says where packages come from and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from moorage.config.settings import EnvironmentSettings
from moorage.environments.errors import EnvironmentTooLarge, InstallerFailed
from moorage.environments.process import Finished, WroteTooMuch, run
from moorage.environments.wheelhouse import Wheelhouse

#: How the operator says where packages come from and how they are reached. Whatever else is set for uv is meant for the
#: operator's own projects.
_PASSED = frozenset(
    {
        "ALL_PROXY",
        "HOME",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NETRC",
        "NO_PROXY",
        "PATH",  # keyring
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "SSL_CLIENT_CERT",
        "TMPDIR",
        "UV_CACHE_DIR",
        "UV_CONFIG_FILE",
        "UV_CREDENTIALS_DIR",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_HTTP_RETRIES",
        "UV_HTTP_TIMEOUT",
        "UV_INDEX",
        "UV_INDEX_STRATEGY",
        "UV_INDEX_URL",
        "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER",
        "UV_NATIVE_TLS",
        "UV_OFFLINE",
        "UV_SYSTEM_CERTS",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_DIRS",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
    }
)
#: UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD.
_INDEX_LOGIN = re.compile(r"UV_INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD)")

_ADDRESS = re.compile(r"`?\b[a-z][a-z0-9+.-]*://[^\s`'\")]+`?")
_HOST_PATH = re.compile(r"`?(?<![\w./])/(?:[^\s/`'\"]+/)*[^\s/`'\",;:)]+`?")
_BY_ADDRESS = re.compile(r"Package `(?P<name>[\w.-]+)` was included as a URL dependency")
_NOISE = re.compile(r"(?:error: )?No solution found when resolving dependencies\s*|\b(?:error|cause): ")


class UvRefused(Exception):
    """uv ended with an error; the explanation is fit to be shown: without addresses and paths."""

    def __init__(self, finished: Finished) -> None:
        self.unresolvable = "No solution found" in finished.stderr
        self.explanation = explain(finished.stderr)
        found = _BY_ADDRESS.search(self.explanation)
        #: A dependency names another one by its address, and uv did not follow it.
        self.by_address = found is not None
        if found is not None:
            self.explanation = (
                f"a dependency asks for {found['name']} by an address, and packages come by name and version alone,"
                " from the operator's index or wheelhouse."
            )
        super().__init__(self.explanation)


class Uv:
    def __init__(self, settings: EnvironmentSettings, state_dir: Path) -> None:
        self.offline = settings.offline
        self._timeout = settings.timeout
        # A package is written as it is fetched, as it is unpacked into the cache, and once more as it is installed.
        self._max_bytes = settings.max_bytes
        self._wheelhouse = Wheelhouse(settings.wheelhouse, state_dir / "wheelhouse")

    async def run(self, what: str, arguments: Sequence[str], *, stdin: str = "") -> None:
        """Runs a subcommand of ``uv pip`` that fetches packages. ``what`` begins a sentence about a failure.

        Raises UvRefused; InstallerFailed where it takes longer, EnvironmentTooLarge where it writes more than the
        settings allow.
        """
        try:
            finished = await run(
                [find_uv_bin(), "pip", *arguments, *self._flags()],
                environment=uv_environment(os.environ, await asyncio.to_thread(self._wheelhouse.index)),
                timeout=self._timeout,
                stdin=stdin,
                most_written_bytes=3 * self._max_bytes,
            )
        except WroteTooMuch as error:
            raise EnvironmentTooLarge(what, self._max_bytes) from error
        except TimeoutError as error:
            seconds = self._timeout.total_seconds()
            raise InstallerFailed(what, f"it took longer than environments.timeout, {seconds:g} s.") from error
        except OSError as error:
            raise InstallerFailed(what, "uv cannot be started; install it in the Python of the host.") from error
        if finished.code != 0:
            raise UvRefused(finished)

    def _flags(self) -> list[str]:
        offline = ["--offline"] if self.offline else []
        # Wheels alone: a source distribution would run its own code to be built.
        return [*offline, "--only-binary", ":all:", "--no-python-downloads", "--quiet", "--color", "never"]


def uv_environment(environ: Mapping[str, str], first_index: str) -> dict[str, str]:
    """What of the host's environment uv is given, with an index before all others."""
    passed = {name: value for name, value in environ.items() if name.upper() in _PASSED or _INDEX_LOGIN.fullmatch(name)}
    if first_index:
        passed["UV_INDEX"] = f"{first_index} {passed.get('UV_INDEX', '')}".strip()
    return passed


def explain(stderr: str) -> str:
    """uv's words as sentences: no hints about its flags, no addresses, no paths of this machine."""
    # Hints are paragraphs at the end.
    text = re.split(r"^hint: ", stderr, maxsplit=1, flags=re.MULTILINE)[0]
    text = "\n".join(line for line in text.splitlines() if not line.lower().startswith("warning: "))
    text = _NOISE.sub("", text)
    text = _ADDRESS.sub("the package index", text)
    text = _HOST_PATH.sub("a file of the host", text)
    text = " ".join(text.split()).rstrip(".")
    if len(text) > 1500:
        text = text[:1500] + " ..."
    return f"{text or 'no reason was given'}."
