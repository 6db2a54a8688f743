"""``from moorage_sdk.kafka import Producer``"""

from __future__ import annotations

from moorage_sdk.services.kafka import Delivery, Message, Producer, Receipt

__all__ = ["Delivery", "Message", "Producer", "Receipt"]
