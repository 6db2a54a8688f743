"""Secrets: they go in, and never come out."""

from __future__ import annotations

from fastapi import APIRouter, status

from moorage.models.secret import SHARED
from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.secrets import Rotation, Secret, SecretOrder

router = APIRouter(tags=["secrets"])


@router.get("/secrets")
async def list_all_secrets(host: Host) -> Page[Secret]:
    """Names of all secrets, those that are shared first; no values."""
    return Page(items=[Secret.of(info) for info in await host.secrets.list()])


@router.put("/secrets/{secret}")
async def set_shared_secret(host: Host, person: Person, secret: str, order: SecretOrder) -> Secret:
    """Set a secret that several installations may use: those whose settings name it."""
    return Secret.of(await host.secrets.set(SHARED, secret, order.value.get_secret_value(), by=person))


@router.delete("/secrets/{secret}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_shared_secret(host: Host, person: Person, secret: str) -> None:
    """Delete a shared secret."""
    await host.secrets.delete(SHARED, secret, by=person)


@router.post("/secrets/rotate")
async def rotate_secrets(host: Host, person: Person) -> Rotation:
    """Seal all secrets with a new key, and forget the old ones."""
    return Rotation(sealed=await host.secrets.rotate(by=person))


@router.get("/installations/{name}/secrets")
async def list_secrets(host: Host, name: str) -> Page[Secret]:
    """Names of the installation's own secrets; no values."""
    return Page(items=[Secret.of(info) for info in await host.secrets.list(name)])


@router.put("/installations/{name}/secrets/{secret}")
async def set_secret(host: Host, person: Person, name: str, secret: str, order: SecretOrder) -> Secret:
    """Set a secret of the installation, in the place of the one before."""
    return Secret.of(await host.secrets.set(name, secret, order.value.get_secret_value(), by=person))


@router.delete("/installations/{name}/secrets/{secret}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_secret(host: Host, person: Person, name: str, secret: str) -> None:
    """Delete a secret of the installation."""
    await host.secrets.delete(name, secret, by=person)
