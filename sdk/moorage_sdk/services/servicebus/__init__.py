"""Service Bus, with the names of Azure's own library."""
