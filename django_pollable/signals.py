"""
Signals for metrics, logging and whatever a project adds.

All are sent by `send_robust`: what a receiver raises is logged by `django.dispatch` and breaks nothing.
Receivers run where the signal is sent, within the request or the command.

`poll_answered`: a view answered a GET or HEAD. Sender is the view class; `request` (of REST framework),
    `response` (not rendered yet).
`page_shared`: a page of bytes was found or made. Sender is the view class; `request`, `outcome` (see `rendered`).
`changes_settled`: a batch was committed. Sender is the feed's model; `using`, `count` (notes), `seconds` (its
    transaction).
`feed_reset`: a new epoch was committed. Sender is the feed's model; `using`, `reason` (see `ledger.history`).
"""

from django.dispatch import Signal

poll_answered = Signal(use_caching=True)
page_shared = Signal(use_caching=True)
changes_settled = Signal()
feed_reset = Signal()
