"""`hour.svg`: who served, minute by minute, under each strategy; drawn by hand, so always the same.

Readable on light and on dark: it brings its own paper, and asks what the reader prefers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from docs.hour.page import Played, cost_of, quantile, waits
from docs.hour.play import WRITTEN, Call
from docs.hour.scene import MINUTE, MODELS, SPELLS

COLOURS: Final = {
    "small": "#009e73",
    "flagship": "#2f7fc1",
    "rival": "#e69f00",
    "reader": "#cc79a7",
}
"""Told apart by those who see few colours, too: Okabe and Ito, https://jfly.uni-koeln.de/color/."""

_BIN: Final = 2  # minutes a bar
_MINUTES: Final = 60
_MOST: Final = 24  # requests the axis of a panel reaches to
_TICKS: Final = (0, 10, 20)
_LEFT, _CHART, _RIGHT = 256, 600, 140
_WIDTH: Final = _LEFT + _CHART + _RIGHT
_SPELLS_TOP, _SPELL = 66, 22
_PANELS_TOP: Final = _SPELLS_TOP + _SPELL * len(MODELS) + 42
_PANEL, _GAP = 66, 18
_NARROW: Final = 40  # what is no wider has its word beside it
_STYLE: Final = """
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e }
  .line { stroke: #d1d9e0; stroke-width: 1 } .trouble { fill: #d1d9e0 }
  text { font: 12px -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif }
  .title { font-size: 15px; font-weight: bold }
  .code { font: 11px ui-monospace, "DejaVu Sans Mono", monospace }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 }
    .line { stroke: #3d444d } .trouble { fill: #3d444d }
  }
"""


def picture(played: Played) -> str:
    """The hour as SVG."""
    height = _PANELS_TOP + len(played) * (_PANEL + _GAP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Who served the requests of the hour, under each strategy</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        _text(16, 26, "Who served, under each strategy", "title ink"),
        *_legend(),
        *_troubles(),
        _text(16, _PANELS_TOP - 12, f"requests in {_BIN} minutes, by who answered", "soft"),
    ]
    for place, (name, calls) in enumerate(played.items()):
        parts += _panel(_PANELS_TOP + place * (_PANEL + _GAP), name, calls)
    bottom = _PANELS_TOP + len(played) * (_PANEL + _GAP)
    parts += _minutes(bottom - _GAP + 16)
    parts.append(_text(_LEFT + _CHART / 2, bottom + 22, "minute of the hour", "soft", "middle"))
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> Iterator[str]:
    left = _LEFT + 110
    for words, fill in (*COLOURS.items(), ("nobody", None)):
        paint = f'fill="{fill}"' if fill else 'class="ink"'
        yield f'<rect x="{left}" y="16" width="12" height="12" {paint}/>'
        yield _text(left + 18, 26, words, "ink")
        left += 98


def _troubles() -> Iterator[str]:
    yield _text(16, _SPELLS_TOP - 10, "what is wrong", "soft")
    for place, model in enumerate(MODELS):
        top = _SPELLS_TOP + place * _SPELL
        yield _text(_LEFT - 10, top + 13, model.name, "ink", "end")
        yield f'<rect x="{_LEFT}" y="{top + 16}" width="{_CHART}" height="1" class="trouble"/>'
        for spell in SPELLS:
            if spell.provider == model.name:
                left, width = _x(spell.begins), _x(spell.ends) - _x(spell.begins)
                yield (
                    f'<rect x="{left:g}" y="{top}" width="{width:g}" height="17" class="trouble"/>'
                )
                inside = width > _NARROW
                at = left + (5 if inside else width + 5)
                yield _text(at, top + 12.5, _SHORT[spell.trouble], "ink")


_SHORT: Final = {"down": "down", "limited": "rate limit", "slow": "slow", "spent": "credit spent"}


def _panel(top: float, name: str, calls: Sequence[Call]) -> Iterator[str]:
    bottom = top + _PANEL
    for number, line in enumerate(_broken(WRITTEN[name])):
        yield _text(16, top + 14 + 15 * number, line, "code ink")
    for tick in _TICKS:
        level = bottom - _height(tick)
        yield f'<path d="M{_LEFT} {level:g}h{_CHART}" class="line"/>'
        yield _text(_LEFT - 6, level + 4, str(tick), "soft", "end")
    yield from _bars(bottom, calls)
    seconds = waits(calls)
    told = (
        f"{cost_of(calls):.2f} USD",
        f"p50 {quantile(seconds, 0.5):.1f} s, p95 {quantile(seconds, 0.95):.1f} s",
        f"{len(calls) - len(seconds)} unanswered",
    )
    for number, line in enumerate(told):
        yield _text(_LEFT + _CHART + 10, top + 14 + 16 * number, line, "ink")


def _bars(bottom: float, calls: Sequence[Call]) -> Iterator[str]:
    served = Counter((int(call.ask.due_at / MINUTE) // _BIN, call.answered_by) for call in calls)
    for place in range(_MINUTES // _BIN):
        level = bottom
        for provider in (*COLOURS, None):
            height = _height(served[place, provider])
            if height:
                level -= height
                paint = f'fill="{COLOURS[provider]}"' if provider else 'class="ink"'
                yield (
                    f'<rect x="{_x(place * _BIN) + 1:g}" y="{level:g}" '
                    f'width="{_x(_BIN) - _LEFT - 2:g}" height="{height:g}" {paint}/>'
                )


def _minutes(level: float) -> Iterator[str]:
    for minute in range(0, _MINUTES + 1, 10):
        yield _text(_x(minute), level, str(minute), "soft", "middle")


def _broken(words: str) -> list[str]:
    """A strategy in lines that fit beside its panel."""
    outer, then, inner = words.partition("then=")
    return [outer, f"  {then}{inner}"] if then else [words]


def _x(minute: float) -> float:
    return _LEFT + minute * _CHART / _MINUTES


def _height(requests: int) -> float:
    return round(requests * _PANEL / _MOST, 2)


def _text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{x:g}" y="{y:g}" class="{style}"{at} xml:space="preserve">{escape(words)}</text>'
    )
