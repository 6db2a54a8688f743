"""Secrets for tests: ``moorage.secrets["LASTFM_KEY"] = "k3y"``; afterwards ``moorage.secrets.values``."""

from __future__ import annotations

from typing import Dict

from moorage_proto import link_pb2, secrets_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_sdk.testing.base import FakeCaller


class FakeSecrets:
    name = "secrets"
    contract = secrets_pb2.DESCRIPTOR.services_by_name["SecretsService"]

    def __init__(self) -> None:
        #: As they are now, with what the plugin wrote.
        self.values: Dict[str, str] = {}

    def read(self, caller: FakeCaller, request: secrets_pb2.ReadSecretRequest) -> secrets_pb2.ReadSecretReply:  # noqa: ARG002 - anyone whom the gate let through
        value = self.values.get(request.name)
        if value is None:
            return secrets_pb2.ReadSecretReply(found=False)
        return secrets_pb2.ReadSecretReply(found=True, value=value)

    def write(self, caller: FakeCaller, request: secrets_pb2.WriteSecretRequest) -> secrets_pb2.WriteSecretReply:  # noqa: ARG002 - as above
        if not request.value:
            sentence = f"The value of {request.name} is empty. To do away with a secret, delete it."
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
        self.values[request.name] = request.value
        return secrets_pb2.WriteSecretReply()

    def delete(self, caller: FakeCaller, request: secrets_pb2.DeleteSecretRequest) -> secrets_pb2.DeleteSecretReply:  # noqa: ARG002 - as above
        return secrets_pb2.DeleteSecretReply(found=self.values.pop(request.name, None) is not None)

    def list(self, caller: FakeCaller, request: secrets_pb2.ListSecretsRequest) -> secrets_pb2.ListSecretsReply:  # noqa: ARG002 - as above
        return secrets_pb2.ListSecretsReply(names=sorted(self.values))

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """Nothing of secrets is told in the handshake."""

    def close(self) -> None:
        """Nothing is held."""

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def __setitem__(self, name: str, value: str) -> None:
        self.values[name] = value
