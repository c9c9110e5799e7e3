"""The errors: their tree, what they carry, and that they survive a trip to another process."""

import pickle

import pytest

import fsm_fallback
from fsm_fallback import (
    AllProvidersFailed,
    Attempt,
    BreakerOpen,
    ChainFailed,
    ConfigurationError,
    DeadlineExceeded,
    FallbackError,
    Fault,
    FaultKind,
    NotEligible,
    RequestRejected,
    Skip,
    StoreUnavailable,
    StreamInterrupted,
    StreamTruncated,
    UnpicklableError,
)

HELD = Fault(FaultKind.AUTH, retry_after=7.0, message="the key")
GROUPS = [AllProvidersFailed, RequestRejected, DeadlineExceeded, StreamInterrupted]


class KeywordOnlyError(Exception):
    """As the SDKs write theirs: pickle cannot make it again."""

    def __init__(self, message, *, response, status_code=503):
        super().__init__(message)
        self.response = response
        self.status_code = status_code


class StubbornError(Exception):
    """Refuses to be pickled at all."""

    status_code = "none"

    def __reduce__(self):
        raise RuntimeError("not me")


def attempt(provider, error, kind=FaultKind.TRANSIENT):
    """A failed attempt."""
    return Attempt(
        provider=provider, number=1, fault=Fault(kind), error=error, started_at=0.0, duration=1.0
    )


def sent(error):
    """The error as another process would get it."""
    return pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes


class TestTheTree:
    """What to catch."""

    @pytest.mark.parametrize(
        ("kind", "parents"),
        [
            (ConfigurationError, (FallbackError, ValueError)),
            (BreakerOpen, (FallbackError,)),
            (NotEligible, (FallbackError,)),
            (StreamTruncated, (FallbackError,)),
            (StoreUnavailable, (FallbackError,)),
            (UnpicklableError, (FallbackError,)),
            (ChainFailed, (FallbackError, ExceptionGroup)),
            *((group, (ChainFailed,)) for group in GROUPS),
        ],
    )
    def test_an_error_is_one_of_its_parents(self, kind, parents):
        """As the docstring of the module draws it."""
        assert set(parents) <= set(kind.__mro__)

    def test_the_tree_in_the_docstring_is_the_tree(self):
        """Every error stands there, under the one it is a kind of."""
        drawn, path = {}, []
        for line in fsm_fallback.errors.__doc__.splitlines():
            name = line.strip().removeprefix("|").strip().removeprefix("+--").split()[:1]
            if not name or not hasattr(fsm_fallback, name[0]):
                continue
            depth = line.index(name[0])
            path = [(d, parent) for d, parent in path if d < depth]
            drawn[name[0]] = path[-1][1] if path else None
            path.append((depth, name[0]))
        errors = {
            name: thing
            for name in fsm_fallback.__all__
            if isinstance(thing := getattr(fsm_fallback, name), type)
            and issubclass(thing, Exception)
        }
        assert set(drawn) == set(errors)
        for name, parent in drawn.items():
            assert parent is None or parent in {base.__name__ for base in errors[name].__bases__}


class TestConfigurationError:
    """Everything wrong at once."""

    def test_it_lists_every_problem(self):
        """As data, and in the message, one a line."""
        error = ConfigurationError(["a is 1; give 2", "b is 3; give 4"])
        assert error.problems == ("a is 1; give 2", "b is 3; give 4")
        assert str(error) == "a is 1; give 2\nb is 3; give 4"

    def test_one_problem_may_come_as_a_string(self):
        """It is one problem, not one a letter."""
        assert ConfigurationError("a is 1").problems == ("a is 1",)

    def test_it_takes_any_iterable_once(self):
        """A generator is read once, for data and message."""
        error = ConfigurationError(problem for problem in ("a", "b"))
        assert (error.problems, str(error)) == (("a", "b"), "a\nb")


class TestBreakerOpen:
    """Who refused, in which state, until when, and why."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("a", "open", 12.5, HELD), "breaker 'a' is open (auth); retry after 12.5 s"),
            (("a", "open", 0.0), "breaker 'a' is open; retry after 0 s"),
            (("a", "half_open"), "breaker 'a' is half_open"),
            (("a", "forced_open", None, HELD), "breaker 'a' is forced_open (auth)"),
        ],
    )
    def test_the_message_says_what_is_known(self, arguments, message):
        """And nothing of what the provider said."""
        assert str(BreakerOpen(*arguments)) == message


class TestChainFailed:
    """A group of what went wrong, with the whole story."""

    @pytest.mark.parametrize("kind", GROUPS)
    def test_except_star_gets_its_part_and_keeps_the_story(self, kind):
        """The parts are of the same class, with trail and retry_after whole."""
        errors = (ValueError("a"), TimeoutError("b"), ValueError("c"))
        trail = tuple(attempt("p", error) for error in errors)
        caught = []
        try:
            raise kind("what", errors, trail, 7.0)
        except* ValueError as group:
            caught.append(group)
        except* TimeoutError as group:
            caught.append(group)
        values, timeouts = caught
        assert (type(values), type(timeouts)) == (kind, kind)
        assert values.exceptions == (errors[0], errors[2])
        assert timeouts.exceptions == (errors[1],)
        assert (timeouts.trail, timeouts.retry_after, timeouts.message) == (trail, 7.0, "what")

    def test_a_split_keeps_the_story(self):
        """Both halves know all of it."""
        group = AllProvidersFailed("what", [ValueError(), KeyError()], (Skip("a", "open"),), 3.0)
        for half in group.split(ValueError):
            assert type(half) is AllProvidersFailed
            assert (half.trail, half.retry_after) == (group.trail, 3.0)

    def test_members_are_the_very_objects(self):
        """With the traceback they were raised with."""
        with pytest.raises(ZeroDivisionError) as caught:
            1 / 0  # noqa: B018  # it raises
        (member,) = AllProvidersFailed("what", [caught.value]).exceptions
        assert member is caught.value
        assert member.__traceback__ is not None

    def test_a_story_may_be_missing(self):
        """For those who raise one in their own tests."""
        group = AllProvidersFailed("what", [ValueError()])
        assert (group.trail, group.retry_after) == ((), None)


class TestPickling:
    """To another process and back."""

    @pytest.mark.parametrize(
        "error",
        [
            FallbackError("what"),
            ConfigurationError(["a", "b"]),
            BreakerOpen("a", "open", 7.0, HELD),
            NotEligible("a", "tools"),
            StreamTruncated("what"),
            StoreUnavailable("what"),
            UnpicklableError("openai.RateLimitError", 429, "slow down"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_plain_error_comes_back_as_it_was(self, error):
        """Class, message and every attribute."""
        back = sent(error)
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert vars(back) == vars(error)

    @pytest.mark.parametrize("kind", GROUPS)
    def test_a_group_comes_back_with_its_story(self, kind):
        """Members, trail, message and retry_after."""
        skip = Skip("b", "open", until=9.0, cause=HELD)
        back = sent(kind("what", [ValueError("x")], (attempt("a", ValueError("x")), skip), 7.0))
        assert type(back) is kind
        assert (back.message, back.retry_after) == ("what", 7.0)
        assert [str(member) for member in back.exceptions] == ["x"]
        assert back.trail[0].fault == Fault(FaultKind.TRANSIENT)
        assert back.trail[1] == skip

    def test_a_member_that_cannot_be_pickled_becomes_a_stand_in(self):
        """With the name of its type, its status and its text; count and order stay."""
        odd = KeywordOnlyError("slow down", response=lambda: None, status_code=429)
        back = sent(AllProvidersFailed("what", [ValueError("first"), odd, KeyError("last")]))
        first, second, third = back.exceptions
        assert (type(first), type(third)) == (ValueError, KeyError)
        assert isinstance(second, UnpicklableError)
        assert second.type_name.endswith("test_errors.KeywordOnlyError")
        assert (second.status_code, second.message) == (429, "slow down")

    def test_one_that_can_be_sent_but_not_received_becomes_a_stand_in_too(self):
        """Pickle finds out only when it is too late."""
        odd = KeywordOnlyError("slow down", response=None)
        back = sent(AllProvidersFailed("what", [odd]))
        assert isinstance(back.exceptions[0], UnpicklableError)

    def test_one_that_refuses_becomes_a_stand_in_without_a_status(self):
        """A status that is no number is none."""
        back = sent(AllProvidersFailed("what", [StubbornError("no")]))
        (member,) = back.exceptions
        assert (member.status_code, member.message) == (None, "no")

    @pytest.mark.parametrize(
        "error",
        [ValueError("x"), KeywordOnlyError("x", response=None)],
        ids=["itself", "stand-in"],
    )
    def test_trail_and_members_share_their_errors_afterwards(self, error):
        """One object before, one object after."""
        back = sent(AllProvidersFailed("what", [error], (attempt("a", error),)))
        assert back.trail[0].error is back.exceptions[0]

    def test_an_error_that_is_a_member_twice_stays_one_object(self):
        """A provider may raise the same object every time."""
        error = KeywordOnlyError("x", response=None)
        back = sent(AllProvidersFailed("what", [error, error]))
        assert back.exceptions[0] is back.exceptions[1]

    def test_a_group_within_a_group_keeps_its_own_story(self):
        """Chains nest, and so do their failures."""
        odd = KeywordOnlyError("x", response=None)
        inner = AllProvidersFailed("inner", [odd], (attempt("deep", odd),), 3.0)
        back = sent(AllProvidersFailed("outer", [inner], (attempt("chain", inner),)))
        (kept,) = back.exceptions
        assert isinstance(kept, AllProvidersFailed)
        assert kept.trail[0].error is kept.exceptions[0]
        assert isinstance(kept.exceptions[0], UnpicklableError)

    def test_what_came_back_can_be_sent_on(self):
        """Stand-ins are plain errors."""
        error = AllProvidersFailed("what", [KeywordOnlyError("x", response=None)])
        once = sent(error)
        twice = sent(once)
        assert [str(member) for member in twice.exceptions] == [
            str(member) for member in once.exceptions
        ]

    def test_what_was_sent_is_left_as_it_was(self):
        """The original keeps its original members."""
        odd = KeywordOnlyError("x", response=None)
        group = AllProvidersFailed("what", [odd], (attempt("a", odd),))
        sent(group)
        assert group.exceptions == (odd,)
        assert group.trail[0].error is odd
