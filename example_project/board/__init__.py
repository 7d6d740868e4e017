"""Projects, their builds, and what happened to them."""
