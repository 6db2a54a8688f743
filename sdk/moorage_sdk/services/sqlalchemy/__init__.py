"""SQLAlchemy, 1.4 and 2, over the driver in ``moorage_sdk.services.sql``.

Nothing here is imported unless the plugin asks for a Session, an Engine or a session factory, and so has SQLAlchemy.
"""
