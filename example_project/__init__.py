"""A board of software builds that clients poll."""
