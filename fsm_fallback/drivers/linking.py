"""The links of a chain: for each provider what to call, for one way of calling the chain.

A provider with an awaited form is awaited; one with a plain form only is put into a thread where it
must be; one that is a chain itself is asked with the time that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.drivers.link import WAYS, Admits, Link, ThreadLink, ThreadStreamLink, Way
from fsm_fallback.drivers.meters import Meters
from fsm_fallback.drivers.nested import ChainLink
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.reading import AUTO, ChainReader, Reader, Terminal

_PLAIN_FORM: Final[dict[Way, Way]] = {"acall": "call", "astream": "stream"}
_IN_THREAD: Final[dict[Way, type[Link]]] = {"acall": ThreadLink, "astream": ThreadStreamLink}


def links_of(
    providers: tuple[Any, ...],
    infos: Mapping[str, ModelInfo],
    circuits: Mapping[str, Admits],
    meters: Meters,
    way: Way,
) -> tuple[Link, ...]:
    """The links of a chain for one way of calling it.

    Raises:
        ConfigurationError: Naming every provider that cannot be called this way.
    """
    found = [_found(each, way) for each in providers]
    missing = [each for each, kind in zip(providers, found, strict=True) if kind is None]
    if missing:
        raise ConfigurationError(
            f"provider {each.name!r} cannot be called with {way}(); {_remedy(each, way)}"
            for each in missing
        )
    return tuple(
        kind[0](
            name=each.name,
            context_window=infos[each.name].context_window,
            circuit=circuits[each.name],
            call=kind[1],
            classify=getattr(each, "classify", None),
            timeout_arg=getattr(each, "timeout_arg", None),
            reader=_reader_of(each, is_chain=kind[0].is_chain),
            info=infos[each.name],
            meter=meters.by_name[each.name],
        )
        for each, kind in zip(providers, found, strict=True)
        if kind is not None
    )


def ways_of(providers: tuple[Any, ...]) -> frozenset[Way]:
    """The ways all of these providers can be called in."""
    return frozenset(
        way for way in WAYS if all(_found(each, way) is not None for each in providers)
    )


def largest_window(infos: Iterable[ModelInfo]) -> int | None:
    """How much the models take; None where nobody says."""
    windows = [each.context_window for each in infos]
    return max((each for each in windows if each is not None), default=None)


def _found(provider: Any, way: Way) -> tuple[type[Link], Callable[..., Any]] | None:
    """The kind of link for a provider, and what it calls; None if it cannot be called this way."""
    ways: object = getattr(provider, "ways", None)
    if isinstance(ways, frozenset):  # a chain
        return (ChainLink, provider.asked_by_chain(way)) if way in ways else None
    own: object = getattr(provider, way, None)
    if callable(own):
        return Link, own
    if way not in _PLAIN_FORM:
        return None
    plain: object = getattr(provider, _PLAIN_FORM[way], None)
    return (_IN_THREAD[way], plain) if callable(plain) else None


def _remedy(provider: object, way: Way) -> str:
    possible = [f"{each}()" for each in WAYS if _found(provider, each) is not None]
    awaited = {"call": "acall()", "stream": "astream()"}.get(way)
    if awaited in possible:
        return f"use {awaited[:-2]}, or give it a plain {way}"
    has = f"it has {', '.join(possible)} only"
    if "stream" in way:
        return f"{has}; give it stream or astream: @provider(..., streams=True) if it returns one"
    return f"{has}; give it call or acall"


def info_of(provider: Any) -> ModelInfo:
    """What a provider says of its model."""
    info: object = getattr(provider, "info", None)
    return info if isinstance(info, ModelInfo) else ModelInfo()


def _reader_of(provider: Any, *, is_chain: bool) -> Reader:
    if is_chain:
        return ChainReader(provider.name)
    is_output = getattr(provider, "is_output", None)
    terminal: Terminal = getattr(provider, "terminal", AUTO)
    return Reader(provider.name, is_output, terminal)
