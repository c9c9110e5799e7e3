"""What the pages say of the mutants of the tables is so, as far as it can be counted quickly."""

import re
from pathlib import Path

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.spec.bite import read_equivalent
from fsm_fallback.spec.mutants import mutants_of

ROOT = Path(__file__).parent.parent.parent
IDS = {
    table.name: [mutant.id for mutant in mutants_of(table, model)]
    for table, model in ((BREAKER, Breaker), (CHAIN, Chain))
}
EQUIVALENT = read_equivalent(ROOT / "specs" / "equivalent.toml")


def test_every_reason_is_one_of_a_mutant_there_is():
    """A renamed row takes its reason with it, or `make bite` fails."""
    for name, reasons in EQUIVALENT.items():
        assert set(reasons) <= set(IDS[name])


def test_the_pages_tell_how_many_there_are():
    """Counted, not guessed."""
    breaker, chain = len(IDS["breaker"]), len(IDS["chain"])
    page = " ".join((ROOT / "docs" / "evidence.md").read_text(encoding="utf-8").split())
    assert f"`make bite` makes {breaker + chain} of them" in page
    assert f"{breaker} are of the breaker's table, {chain} of the chain's" in page
    assert len(EQUIVALENT["breaker"]) + len(EQUIVALENT["chain"]) == 12
    assert "All but twelve break a property" in page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"# {breaker + chain} tables with one thing wrong", readme)
