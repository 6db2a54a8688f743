"""Secrets: encrypted in the store, read by name, masked wherever people look."""

from moorage.broker.services.secrets.service import SecretsService

__all__ = ["SecretsService"]
