"""The only home of sequence numbers, and the only part that speaks to the database."""
