"""How things look on a terminal and in a log: tables, plans, progress, words."""
