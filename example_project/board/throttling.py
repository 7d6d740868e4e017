"""How often the board may be asked: the rates are in the settings."""

from django_pollable.throttling import PollableThrottle


class CheapPolls(PollableThrottle):
    """A 304 costs a tenth of an answer with rows, for who has signed in."""

    unchanged_cost = 0.1
