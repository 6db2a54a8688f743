"""What is wrong with a contract, found when it is compiled; and with a value, found when it is to cross."""

from __future__ import annotations

from typing import Any


class ContractInvalid(TypeError):
    """A class cannot be a contract as it is written. ``place``: "Billing.charge"."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class ValueUnfit(ValueError):
    """A value is not of the type that the contract says; the sentence names the place, and never the value."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


def wanted(where: str, what: str, value: Any) -> ValueUnfit:
    found = "nothing" if value is None else f"an object of type {type(value).__name__}"
    return ValueUnfit(where, f"{what} was wanted, {found} was found")
