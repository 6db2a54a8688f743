"""Contracts in typed Python: what an application's own package of contracts imports."""

from __future__ import annotations

from moorage_proto.errors import ServiceError
from moorage_proto.typed.contract import Contract, contract_of
from moorage_proto.typed.declare import capability, guarded, own, service
from moorage_proto.typed.errors import ContractInvalid, ValueUnfit
from moorage_proto.typed.extension import extension_point

__all__ = [
    "Contract",
    "ContractInvalid",
    "ServiceError",
    "ValueUnfit",
    "capability",
    "contract_of",
    "extension_point",
    "guarded",
    "own",
    "service",
]
