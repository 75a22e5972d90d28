"""One module per schema, named after its revision."""
