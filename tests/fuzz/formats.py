"""What has the format `cursor` without being a cursor of the server's: those come by the links of its answers."""

import schemathesis
from hypothesis import strategies

LAST_SECOND = 253402300799

instants = strategies.datetimes(timezones=strategies.timezones()).filter(lambda moment: 1970 < moment.year < 9999)
seconds = strategies.integers(0, LAST_SECOND)

schemathesis.openapi.format(
    "cursor", strategies.just("now") | seconds.map(str) | instants.map(lambda moment: moment.isoformat())
)
