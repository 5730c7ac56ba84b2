"""From a recipe to a finished store."""
