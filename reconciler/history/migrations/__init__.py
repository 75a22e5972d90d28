"""The steps from one schema to the next; `reconciler.history.migrate` runs them."""
