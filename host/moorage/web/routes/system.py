"""The host itself."""

from __future__ import annotations

import os
import platform

from fastapi import APIRouter

from moorage import __version__
from moorage.web.routes.host import Host
from moorage.web.schemas.system import Sandbox, System
from moorage.web.values import text

router = APIRouter(tags=["system"])


@router.get("/system")
async def get_system(host: Host) -> System:
    """The host's version, process and sandbox."""
    return System(
        version=__version__,
        python=platform.python_version(),
        pid=os.getpid(),
        state_dir=text(str(host.settings.state_dir)),
        required_level=host.settings.sandbox.require,
        sandbox=Sandbox.of(await host.sandbox_report()),
    )
