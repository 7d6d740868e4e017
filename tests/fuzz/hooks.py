"""What a schema cannot say: what has the format `cursor`, and that a text of white space is blank."""

from typing import Any

import schemathesis
from hypothesis import strategies

LAST_SECOND = 253402300799

# Not a cursor of the server's: those come by the links of its answers.
instants = strategies.datetimes(timezones=strategies.timezones()).filter(lambda moment: 1970 < moment.year < 9999)
seconds = strategies.integers(0, LAST_SECOND)
schemathesis.openapi.format(
    "cursor", strategies.just("now") | seconds.map(str) | instants.map(lambda moment: moment.isoformat())
)


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out requests that are meant to be valid, and have a text that REST framework takes for blank."""
    values: Any = case.body.values() if isinstance(case.body, dict) else ()
    has_blank = any(isinstance(value, str) and not value.strip() for value in values)
    return not (has_blank and case.meta is not None and case.meta.generation.mode.is_positive)
