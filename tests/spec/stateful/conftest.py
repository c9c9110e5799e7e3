"""Stateful specs in small runs, which always draw the same."""

import pytest
from hypothesis import HealthCheck, Phase, settings


@pytest.fixture
def few():
    """Settings for a run that is to find something: few examples, none kept."""
    return settings(
        max_examples=60,
        stateful_step_count=20,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        phases=[Phase.explicit, Phase.generate],  # what is found is told as it was found
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def told():
    """Everything an exception says, notes and members included."""

    def tell(error):
        own = [str(error), *getattr(error, "__notes__", ())]
        return "\n".join([*own, *(tell(each) for each in getattr(error, "exceptions", ()))])

    return tell
