"""Redis for plugins: servers by URL, and one embedded in the host."""

from moorage.broker.services.redis.service import RedisService

__all__ = ["RedisService"]
