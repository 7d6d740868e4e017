"""Users and tokens of every kind."""
