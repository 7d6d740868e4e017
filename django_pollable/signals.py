"""
Signals for metrics, logging and whatever a project adds.

`poll_answered`: sender is the view class; `request`, `response`.
`changes_settled`: sender is the feed's model; `using`, `count` (rows).
`feed_reset`: sender is the feed's model; `using`.
"""

from django.dispatch import Signal

poll_answered = Signal(use_caching=True)
changes_settled = Signal()
feed_reset = Signal()
