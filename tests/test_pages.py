"""The pages tell the truth: every Python block of README and docs runs."""

import gc
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "specs").glob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.fixture
def loopback_sdks(emulator, monkeypatch):
    """The SDKs' own environment variables lead them to emulated providers."""
    openai = emulator.provider("openai", dialect="openai")
    anthropic = emulator.provider("anthropic", dialect="anthropic")
    monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", anthropic.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pages leave SDK clients open
def test_every_python_block_of_a_page_runs(page, loopback_sdks, tmp_path, monkeypatch):
    """All blocks of a page run from top to bottom, in one namespace, without network or keys."""
    monkeypatch.chdir(tmp_path)
    source = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))

    exec(compile(source, page.name, "exec"), {"__name__": "page"})  # noqa: S102  # our own page
    gc.collect()  # the clients it left open are closed here, where that is expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    """A link to a file that is not there is found here, not by a reader."""
    links = LINK.findall(page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_has_ten_lines_that_run():
    """The first screen is code, and the test above executes it."""
    first = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]

    assert "FallbackProvider(ask_gpt, ask_claude)" in first
