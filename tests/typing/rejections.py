"""What type checkers refuse: read by mypy and pyright, never run.

Each line would be an error at run time or a bug; each `type: ignore` names the error, and both
checkers complain of one that is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from fsm_fallback import (
    BreakerConfig,
    CircuitBreaker,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    ModelInfo,
    counting,
    provider,
)


@provider("a")
def ask(prompt: str, /, *, temperature: float = 0.0) -> str:
    """Ask."""
    return f"{prompt}{temperature}"


@provider("b")
async def aask(prompt: str, /, *, temperature: float = 0.0) -> bytes:
    """Ask when awaited."""
    return f"{prompt}{temperature}".encode()


@provider("c")
def plain(prompt: str) -> str:
    """Ask plainly."""
    return prompt


@provider("d")
def other(number: int) -> str:
    """Ask for something else."""
    return str(number)


llm = FallbackProvider(ask, aask)

# Arguments of a call.
llm.call(3)  # type: ignore[arg-type]  # a prompt is a text
llm.call()  # type: ignore[call-arg]  # a prompt is wanted
llm.call("why", "more")  # type: ignore[arg-type, call-arg]  # temperature goes by name
llm.call("why", temperature="hot")  # type: ignore[arg-type]  # it is a number
llm.call("why", deadline=5.0)  # type: ignore[call-arg]  # options(deadline=...) takes that
llm.detailed(prompt="why")  # type: ignore[call-arg]  # it has no name here
ask(3)  # type: ignore[arg-type]  # the function itself, too
ask.call(b"why")  # type: ignore[arg-type]  # as the function


async def awaiting() -> None:
    """The same of awaited calls."""
    await llm.acall(3)  # type: ignore[arg-type]  # a prompt is a text
    await llm.adetailed()  # type: ignore[call-arg]  # a prompt is wanted
    await aask(3)  # type: ignore[arg-type]  # the function itself, too


# What comes back.
text: str = llm.call("why")  # type: ignore[assignment]  # it may be bytes
number: int = llm.detailed("why").value  # type: ignore[assignment]  # neither is a number

# Options of one call.
llm.options(deadline="5")  # type: ignore[arg-type]  # seconds are a number
llm.options(5.0)  # type: ignore[call-arg]  # by name only

# Providers.
FallbackProvider(plain, other)  # type: ignore[misc]  # their parameters differ
FallbackProvider(str.upper)  # type: ignore[call-overload]  # a function is no provider yet
FallbackProvider(ask, config={"deadline": 5.0})  # type: ignore[call-overload]  # no configuration
provider(5)  # type: ignore[call-overload]  # a name is a text
provider("e", context_window="8k")  # type: ignore[call-overload]  # tokens are counted


class Nameless:
    """Has a call, but no name."""

    info = ModelInfo()

    def call(self, prompt: str) -> str:
        """Answer."""
        return prompt


class Callless:
    """Has a name, but no call."""

    name = "callless"
    info = ModelInfo()


FallbackProvider(Nameless())  # type: ignore[call-overload]  # it has no name
FallbackProvider(Callless())  # type: ignore[call-overload]  # it has no call

# Configurations.
BreakerConfig(minimum_calls="ten")  # type: ignore[arg-type]  # a whole number
BreakerConfig(CountWindow(5))  # type: ignore[call-arg]  # by name only
FallbackConfig(deadline="soon")  # type: ignore[arg-type]  # seconds are a number
CircuitBreaker("alone").acquire().hold("soon")  # type: ignore[arg-type]  # as above
CircuitBreaker("alone", classify=str)  # type: ignore[arg-type]  # a text is no fault

# A breaker alone.
breaker = CircuitBreaker("alone")


@breaker
def found(query: str) -> int:
    """Find."""
    return len(query)


@breaker
async def found_later(query: str) -> int:
    """Find when awaited."""
    return len(query)


found(3)  # type: ignore[arg-type]  # the function's own parameters stay
breaker.call(found, 3)  # type: ignore[arg-type]  # as above
breaker.call(found, limit=3)  # type: ignore[call-arg]  # as above
breaker("found")  # type: ignore[call-overload]  # a text is no function
breaker(accept=3)  # type: ignore[call-overload]  # a number is no predicate
counting("OSError")  # type: ignore[arg-type]  # a name is no exception
counting(int)  # type: ignore[arg-type]  # nor is any class
answer: str = breaker.call(found, "why")  # type: ignore[assignment]  # it is a number


async def guarded() -> None:
    """The same, awaited."""
    await breaker.acall(found, "why")  # type: ignore[arg-type]  # a plain function cannot be
    await breaker.acall(found_later, 3)  # type: ignore[arg-type]  # the function's own stay
