"""The example project as it is put into service, with limits that let a fuzzer see more than refusals."""

from example_project.settings import *  # noqa: F403
from example_project.settings import REST_FRAMEWORK as EXAMPLE

DEBUG = False
REST_FRAMEWORK = {**EXAMPLE, "DEFAULT_THROTTLE_RATES": {"polls": "1000000/m", "public": "1000000/m"}}
