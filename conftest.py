"""How much hypothesis tries, for tests and specs alike.

`dev` is for a developer's every run, `ci` always draws the same examples and keeps none, `deep` is
for a night. Choose with `HYPOTHESIS_PROFILE`; where `CI` is set, `ci` is the default. No profile
has a deadline: no test asserts a time.
"""

import os

# Everything here is on loopback; a proxy of the environment would be asked for it all the same.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

from hypothesis import settings  # after the environment is set

pytest_plugins = ["fsm_fallback.testing.plugin"]

settings.register_profile("dev", max_examples=100, deadline=None)
settings.register_profile(
    "ci", max_examples=300, deadline=None, derandomize=True, database=None, print_blob=True
)
settings.register_profile("deep", max_examples=10_000, stateful_step_count=100, deadline=None)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)
