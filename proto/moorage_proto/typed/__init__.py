"""Contracts in typed Python: what an application's own package of contracts imports."""

from __future__ import annotations

from moorage_proto.errors import ServiceError
from moorage_proto.typed.contract import Contract, contract_of
from moorage_proto.typed.declare import capability, guarded, own, service
from moorage_proto.typed.errors import ContractInvalid, ValueUnfit

__all__ = [
    "Contract",
    "ContractInvalid",
    "ServiceError",
    "ValueUnfit",
    "capability",
    "contract_of",
    "guarded",
    "own",
    "service",
]
