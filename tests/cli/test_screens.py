"""The screens of the demo: what they show of a scene, and that every line is marked."""

import io

import pytest
from rich.console import Console

from fsm_fallback import AllProvidersFailed, FallbackProvider, provider
from fsm_fallback.cli.demo.live import LiveScreen, panel
from fsm_fallback.cli.demo.outage import outage
from fsm_fallback.cli.demo.plain import PlainScreen
from fsm_fallback.cli.demo.scene import Scene
from fsm_fallback.cli.demo.simulated import SIMULATED
from fsm_fallback.cli.demo.summary import Summary
from fsm_fallback.cli.demo.traffic import Call, Ledger
from fsm_fallback.testing import ManualClock


class OverloadedError(Exception):
    """As an SDK raises it for status 529."""

    status_code = 529


SUMMARY = Summary(
    (("calls", "2: 1 answered, 1 failed"),),
    (("every call ended", ()), ("every answer fits", ("call 1 has none", "call 2 has none"))),
)


@pytest.fixture
def scene():
    """A scene after 3 s: six calls that failed, which opened both breakers."""
    clock = ManualClock()

    @provider("anthropic")
    def ask_anthropic(question, call):
        raise OverloadedError

    @provider("openai")
    def ask_openai(question, call):
        raise OverloadedError

    played = outage()
    llm = FallbackProvider(
        ask_anthropic, ask_openai, config=played.config, clock=clock, sample=lambda: 0.25
    )
    scene = Scene(played, llm, Ledger(), clock(), clock)
    for number in range(1, 7):
        clock.advance(0.5)
        scene.ledger.started += 1
        with pytest.raises(AllProvidersFailed) as caught:
            llm.call("Why?", number)
        error = caught.value
        scene.ledger.calls.append(
            Call(number=number, question="Why?", trail=error.trail, error=error)
        )
    return scene


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_live_panel_fits_into_the_terminal(scene, width, height):
    """The panel is marked, tells states, calls and moves, and is neither too wide nor too high."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(panel(scene, 9))
    text = console.file.getvalue()
    lines = text.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= width
    assert SIMULATED in lines[0]
    assert "…" not in text
    assert "simulated" in lines[-2]
    assert " 3.0 of 20 s  2/8 anthropic is in a storm of 529" in text
    assert "calls 6: answered 0, failed 6; under way 0" in text
    assert "2.5 s  anthropic  closed -> open  T18 fail transient for 1.4 s" in text


def test_live_panel_is_as_high_without_moves(scene):
    """Nothing jumps: the height does not depend on what has happened."""
    heights = set()
    for moves in (scene.moves, []):
        scene.moves = moves
        console = Console(file=io.StringIO(), width=80, height=24)
        console.print(panel(scene, 9))
        heights.add(len(console.file.getvalue().splitlines()))
    assert len(heights) == 1


def test_live_screen_ends_with_a_marked_summary(scene):
    """Drawn and summed up, each table has the title, and what is missing is named."""
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    screen = LiveScreen(console)
    with screen:
        screen.draw(scene)
    screen.sum_up(SUMMARY)
    text = console.file.getvalue()
    assert text.count(SIMULATED) >= 3
    assert "MISSING" in text
    assert "call 2 has none" in text
    assert "1 of 2 claims do not hold" in text


def test_plain_screen_tells_each_thing_once(scene, capsys):
    """Phase, moves and calls are told when they are new, in marked lines."""
    screen = PlainScreen()
    with screen:
        screen.draw(scene)
        first = capsys.readouterr().out.splitlines()
        screen.draw(scene)
        assert capsys.readouterr().out == ""
    assert [line.split()[3] for line in first] == ["phase", "breaker", "breaker", "calls"]
    assert all(line.startswith("simulated  ") for line in first)
    screen.sum_up(SUMMARY)
    rest = capsys.readouterr().out.splitlines()
    assert all(line.startswith("simulated") for line in rest)
    assert "simulated           - call 2 has none" in rest
