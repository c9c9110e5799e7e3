"""Diagrams: every row once, in words, with the numbers in force; and the committed ones fresh."""

from __future__ import annotations

import html
import re
import runpy
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.chain_rows import CHAIN, ChainState
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.table import STAY, Row, Table
from fsm_fallback.diagrams import FORMATS, diagram, dot, markdown, mermaid
from fsm_fallback.errors import ConfigurationError

DOCS = Path(__file__).parents[1] / "docs"
IN_FORCE = BreakerConfig().in_force


class Odd(Enum):
    """States with everything that means something in Mermaid, DOT, HTML or Markdown."""

    FIRST = 'a "b" <c> & {d}: e; #f'
    SECOND = "x|y `z` *w* _v_ \\n %%{init} $$u$$"
    CLASS = "class"
    SPACED = "a b"
    DASHED = "a-b"


TRICKY = 'x <= 2; "y" > {{3}}: <b>4</b> | `5` #6 \\n & _7_ [8](9)'
ODD = Table(
    name='odd "<b>',
    initial=Odd.FIRST,
    rows=(
        Row('go; "on"', Odd.FIRST, "g", Odd.SECOND, "act_a act_b", TRICKY),
        Row('go; "on"', Odd.FIRST, None, STAY, "act_a", "first\nsecond"),
        Row('go; "on"', Odd.SECOND, "g", STAY, "", TRICKY),
        Row('go; "on"', Odd.SECOND, None, Odd.CLASS, "", ""),
        Row('go; "on"', Odd.CLASS, None, Odd.SPACED, "", ""),
        Row('go; "on"', Odd.SPACED, None, Odd.DASHED, "", ""),
        Row('go; "on"', Odd.DASHED, None, Odd.FIRST, "", ""),
    ),
    words={"g": TRICKY},
)
TABLES = pytest.mark.parametrize("table", [BREAKER, CHAIN, ODD], ids=["breaker", "chain", "odd"])


def unescaped(text: str) -> str:
    """What Mermaid shows for a label."""
    return html.unescape(re.sub(r"#(\d+);", r"&#\1;", re.sub(r"#([a-z]+);", r"&\1;", text)))


def cells(line: str) -> list[str]:
    """The cells of a Markdown row."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@TABLES
def test_mermaid_draws_every_row_with_a_target_as_one_edge(table):
    """One arrow, one id; nothing is joined, nothing is left out."""
    edges = re.findall(r"^    s_\w+ --> s_\w+ : (T\d+) ", mermaid(table), re.MULTILINE)
    assert edges == [number for number, row in table.numbered() if row.target is not STAY]


@TABLES
def test_mermaid_lists_every_row_that_stays_in_its_state(table):
    """As UML draws internal transitions; box by box, in the order of the rows."""
    boxes = re.findall(r"^    s_\w+ : (T\d+) ", mermaid(table), re.MULTILINE)
    stays = [
        number
        for state in table.states
        for number, row in table.numbered()
        if row.source is state and row.target is STAY
    ]
    assert boxes == stays


@TABLES
def test_dot_draws_every_row(table):
    """Edges for the rows with a target, lines in boxes for those that stay."""
    text = dot(table)
    numbers = re.findall(r'(?:\[label="|<br align="left"/>|point-size="11">)(T\d+) ', text)
    assert sorted(numbers) == sorted(number for number, _ in table.numbered())
    assert text.count(" -> ") - 1 - len(table.final) == len(
        [row for row in table.rows if row.target is not STAY]
    )


@TABLES
def test_markdown_has_one_line_of_seven_cells_for_every_row(table):
    """Whatever its words contain."""
    lines = [cells(line) for line in markdown(table).splitlines() if line.startswith("| T")]
    assert [len(line) for line in lines] == [7] * len(table.rows)
    assert [line[0] for line in lines] == [number for number, _ in table.numbered()]


def test_markdown_lists_every_illegal_cell():
    """Trigger by trigger, the states in which it must not fire."""
    listed = {
        (state.strip("`"), trigger.strip("`"))
        for trigger, states in map(cells, markdown(CHAIN).split("illegal in |")[1].splitlines()[2:])
        for state in states.split(", ")
    }
    assert listed == {(state.value, trigger) for state, trigger in CHAIN.illegal}


def test_guards_stand_in_words_with_the_numbers_in_force():
    """A reviewer of a configuration sees what will trip."""
    numbers = BreakerConfig(
        failure_ratio=0.25, minimum_calls=7, slow_call_duration=5.0, consecutive_failures=3
    ).in_force
    words = (
        "failure ratio >= 0.25 over >= 7 calls, or slow ratio >= 0.5 (slow: 5), "
        "or failures in a row (3)"
    )
    assert f"| {words} |" in markdown(BREAKER, numbers)
    label = " ".join(re.split("<br/>", mermaid(BREAKER, numbers)))
    assert f"[{unescaped(words)}] / count, arm" in unescaped(label)


def test_what_is_not_watched_is_off():
    """No number stands where none is in force."""
    words = "or slow ratio >= 0.5 (slow: off), or failures in a row (off) |"
    assert words in markdown(BREAKER, IN_FORCE)


def test_without_numbers_guards_name_their_parameters():
    """A table is drawn before there is a configuration."""
    words = "| failure ratio >= failure_ratio over >= minimum_calls calls, or slow ratio >= "
    assert words in markdown(BREAKER)


def test_the_title_names_the_declaration():
    """Name and digest: the digest that audit records carry."""
    name = f"breaker {BREAKER.digest(IN_FORCE)[:12]}"
    assert f'title: "{name}"\n' in mermaid(BREAKER, IN_FORCE)
    assert f'label="{name}"' in dot(BREAKER, IN_FORCE)
    assert markdown(BREAKER, IN_FORCE).startswith(f"{name}: ")


def test_the_initial_and_the_final_states_are_marked():
    """One way in, one way out of each final state."""
    text = mermaid(CHAIN)
    assert re.findall(r"\[\*\] --> (\w+)", text) == ["s_selecting"]
    assert {f"s_{state.value}" for state in CHAIN.final} == set(
        re.findall(r"(\w+) --> \[\*\]", text)
    )
    assert '":initial" -> "selecting"' in dot(CHAIN)
    assert '"succeeded" -> ":final"' in dot(CHAIN)
    assert ":final" not in dot(BREAKER)


def test_a_view_of_some_triggers_draws_their_rows_alone():
    """And the states they touch, and says so in the title."""
    text = mermaid(CHAIN, triggers=("offer", "skip"))
    assert set(re.findall(r"T\d+", text)) == {"T1", "T2"}
    assert set(re.findall(r"as (\w+)", text)) == {"s_selecting", "s_calling"}
    assert ": offer, skip" in text.splitlines()[1]
    assert set(re.findall(r'"(T\d+)|>(T\d+)', dot(CHAIN, triggers=("offer",)))) == {("T1", "")}


def test_the_current_state_stands_out():
    """For a live view of one model."""
    assert "class s_calling current" in mermaid(CHAIN, current=ChainState.CALLING)
    assert "current" not in mermaid(CHAIN)
    drawn = dot(BREAKER, current=BreakerState.OPEN)
    assert re.findall(r'"(\w+)" \[.*penwidth=4', drawn) == ["open"]


def test_mermaid_text_survives_its_escapes():
    """Nothing in a name or a guard can end a label, open a block or become markup."""
    text = mermaid(ODD)
    labels = re.findall(r"^    s_\w+(?: --> s_\w+)? : (.*)$", text, re.MULTILINE)
    titles = re.findall(r'^    state "(.*)" as \w+$', text, re.MULTILINE)
    assert [unescaped(title) for title in titles] == [state.value for state in Odd]
    for label in (*labels, *titles):
        assert not re.search(r'[:"{}|`\\*$%&]|<(?!br/>)|;(?<!#..;)(?<!#...;)(?<!#....;)', label)
    shown = [" ".join(unescaped(label.replace("<br/>", "\n")).split()) for label in labels]
    said = ODD.words["g"].format()
    assert f'T1 go; "on" [{said}] / act_a, act_b' in shown
    assert f'T3 go; "on" [{said}]' in shown


def test_mermaid_ids_are_distinct_and_no_keywords():
    """A state called "class" is a state."""
    ids = re.findall(r" as (\w+)$", mermaid(ODD), re.MULTILINE)
    assert len(set(ids)) == len(Odd)
    assert all(name.isascii() and name.startswith("s_") for name in ids)


def test_dot_text_survives_its_escapes():
    """Quoted strings end where they should, boxes are well-formed, and nothing is lost."""
    text = dot(ODD)
    boxes = [ET.fromstring(box) for box in re.findall(r"label=<(<table.*</table>)>", text)]  # noqa: S314  # our own text
    assert [box.findtext(".//b") for box in boxes] == [state.value for state in Odd]
    quoted = r'"(?:[^"\\]|\\.)*"'
    plain = re.sub(r"label=<<table.*</table>>", "label=box", text)
    assert re.sub(quoted, "", plain).count('"') == 0
    (label,) = (found for found in re.findall(quoted, plain) if found.startswith('"T1 '))
    shown = html.unescape(re.sub(r"\\(.)", lambda m: {"n": " "}.get(m[1], m[1]), label[1:-1]))
    assert shown == f'T1 go; "on" [{ODD.words["g"].format()}] / act_a, act_b'


def test_text_is_readable_on_every_colour():
    """WCAG AAA: a contrast of at least 7 to 1."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    styles = re.findall(r"fill:(#\w{6}).*,color:(#\w{6})", mermaid(BREAKER) + mermaid(CHAIN))
    assert len(styles) > 4
    for fill, colour in styles:
        assert (luminance(fill) + 0.05) / (luminance(colour) + 0.05) >= 7


@pytest.mark.parametrize("name", FORMATS)
def test_diagram_draws_in_every_format(name):
    """One name per format, one text per table."""
    assert diagram(CHAIN, name) == FORMATS[name](CHAIN, None)
    assert diagram(BREAKER, name, IN_FORCE) == FORMATS[name](BREAKER, IN_FORCE)
    assert diagram(CHAIN, name).endswith("\n")


def test_an_unknown_format_is_refused_with_the_known_ones():
    """Better than Mermaid text in a file called .svg."""
    with pytest.raises(ConfigurationError) as error:
        diagram(BREAKER, "svg")
    expected = "diagram format 'svg' is not known; give one of 'mermaid', 'table', 'dot'"
    assert str(error.value) == expected


RENDER = runpy.run_path(str(DOCS / "render.py"))


@pytest.mark.parametrize("path", sorted(RENDER["pages"]()), ids=lambda path: path.name)
def test_the_committed_diagrams_are_fresh(path):
    """Whoever changes a table changes its diagrams; `make diagrams` does it."""
    assert path.read_text(encoding="utf-8") == RENDER["pages"]()[path]


def test_a_part_without_a_place_is_an_error():
    """It would go missing without a word."""
    with pytest.raises(ValueError, match="no page has the part 'chain, rows'"):
        RENDER["with_part"]({DOCS / "machines.md": "# The machines\n"}, "chain, rows", "")
