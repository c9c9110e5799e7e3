"""`fsm-fallback diagram`: the tables that run, on stdout or in a file."""

import pytest

from fsm_fallback import BreakerConfig
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.diagrams import FORMATS, diagram


@pytest.mark.parametrize("format_", list(FORMATS))
def test_breaker_is_drawn_with_the_default_numbers(run, format_):
    """The breaker's diagram is that of the library, defaults in force."""
    done = run("diagram", "breaker", "--format", format_)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == diagram(BREAKER, format_, BreakerConfig().in_force)


def test_chain_is_drawn_as_mermaid_by_default(run):
    """Without a format, the diagram is Mermaid."""
    done = run("diagram", "chain")
    assert (done.returncode, done.stdout) == (0, diagram(CHAIN, "mermaid"))


def test_out_replaces_the_file(run, tmp_path):
    """With `--out`, the file holds the diagram and stdout nothing."""
    (tmp_path / "chain.dot").write_text("an older one, which was longer than this" * 1000)
    done = run("diagram", "chain", "--format", "dot", "--out", "chain.dot")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "chain.dot").read_text() == diagram(CHAIN, "dot")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "{breaker|chain}"),
        (("engine",), "'engine'"),
        (("chain", "--format", "png"), "'png'"),
        (("chain", "--out", "nowhere/chain.mmd"), "'nowhere/chain.mmd'"),
    ],
)
def test_wrong_use_is_refused(run, tmp_path, arguments, named):
    """What it cannot draw or write ends with 2, names the problem, and makes no file."""
    done = run("diagram", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
