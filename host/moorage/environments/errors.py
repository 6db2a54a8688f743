"""Why a plugin can be given no environment."""

from __future__ import annotations

from moorage.errors import ExitCode, Invalid, MoorageError, NotFound


class NoInterpreter(Invalid):
    """No installed Python fits a plugin."""

    code = "no_interpreter"

    def __init__(self, plugin: str, requires_python: str, found: tuple[str, ...]) -> None:
        super().__init__(
            f"{plugin} requires Python {requires_python or '>=3.9'}, and none that fits is installed here "
            f"(found: {', '.join(found) or 'none'}; plugins run on CPython 3.9 and later). "
            "Install one, for example with `uv python install`, or name its path in environments.interpreters."
        )


class DependenciesUnresolvable(Invalid):
    """No set of wheels satisfies a plugin's dependencies."""

    code = "dependencies_unresolvable"

    def __init__(self, plugin: str, python: str, explanation: str, *, offline: bool) -> None:
        wheels = "put the missing wheels into a folder named in environments.wheelhouse"
        remedy = (
            f"The host works offline: {wheels}" if offline else f"Change dependencies in pyproject.toml, or {wheels}"
        )
        super().__init__(
            f"The dependencies of {plugin} cannot be resolved to wheels for Python {python}: {explanation} {remedy}."
        )


class InstallerFailed(MoorageError):
    """The installer gave up for a reason that lies outside the plugin: index, network, disk, time."""

    code = "installer_failed"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503

    def __init__(self, what: str, explanation: str) -> None:
        super().__init__(
            f"{what} failed: {explanation} Check that the package index answers and that there is room on the disk, "
            "and try again."
        )


class ArchiveUnsound(Invalid):
    """What a package comes in is no archive that an honest tool makes."""

    code = "archive_unsound"

    def __init__(self, what: str, explanation: str) -> None:
        super().__init__(
            f"{what} was stopped, for the archive of a dependency is not sound: {explanation} Leave that package out,"
            " or choose another version."
        )


#: uv's words.
_UNSOUND = ("Failed to extract archive", "File name too long")


def failure(what: str, explanation: str) -> ArchiveUnsound | InstallerFailed:
    """What uv's words mean: that an archive is to blame, or something outside of the plugin."""
    unsound = any(words in explanation for words in _UNSOUND)
    return (ArchiveUnsound if unsound else InstallerFailed)(what, explanation)


class EnvironmentRefused(Invalid):
    """A package installed something that no environment may hold."""

    code = "environment_refused"

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(
            f"A dependency installs {place}, {problem}. Leave that package out, or choose another version."
        )


class EnvironmentTooLarge(Invalid):
    """Packages unpack to more than an environment may have."""

    code = "environment_too_large"

    def __init__(self, what: str, max_bytes: int) -> None:
        super().__init__(
            f"{what} was stopped: its packages unpack to more than environments.max_bytes, {max_bytes / 2**30:g} GiB. "
            "Leave the large package out, or raise that setting if you know it to be honest."
        )


class EnvironmentMissing(NotFound):
    code = "environment_missing"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"The environment {key[:12]} cannot be used: {reason}. Install the plugin again.")


class SdkMissing(MoorageError):
    """The host's own installation is incomplete."""

    code = "sdk_missing"

    def __init__(self, package: str) -> None:
        super().__init__(
            f"The package {package} is not installed beside the host. Install moorage-sdk in the Python of the host."
        )
