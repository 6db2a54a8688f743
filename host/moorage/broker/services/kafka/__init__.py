"""Kafka: producing to named clusters. Consuming is the triggers' work."""

from moorage.broker.services.kafka.service import KafkaService

__all__ = ["KafkaService"]
