"""Projects and their builds."""
