"""How the store's schema became what it is. Alembic reads this folder; ``moorage.store.migrate`` runs it."""
