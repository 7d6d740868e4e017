"""Writers that are killed, pruning, and clients that must end with exactly the server's rows."""
