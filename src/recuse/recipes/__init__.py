"""Training recipes: one short file per published experiment."""
