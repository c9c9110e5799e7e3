"""The pytest plugin: what its fixtures give, how they end, and that it disturbs no measurement."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fsm_fallback.testing.plugin
from fsm_fallback import FallbackConfig, FallbackProvider
from fsm_fallback.core.prices import Price
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import AuditRecords, Delay, Emulator, ManualClock, Overloaded, Status

PLUGIN = Path(fsm_fallback.testing.plugin.__file__)
PAGE = PLUGIN.parents[2] / "docs" / "testing.md"
FILE = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFTEST = 'pytest_plugins = ["fsm_fallback.testing.plugin"]\n'
SETTINGS = """
[pytest]
filterwarnings = error
addopts = -p no:cacheprovider
pythonpath = .
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest on a project of these files, in a process of its own; what it printed.

    With `others` it loads the plugins that are installed, and is not part of our own measurement.
    """
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    unmeasured = {name: text for name, text in inherited.items() if not name.startswith("COV")}
    alone = {**inherited, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # saves a second

    def run(files, *arguments, status=0, others=False):
        for name, text in {"pytest.ini": SETTINGS, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run(  # noqa: S603  # our own interpreter and files
            [sys.executable, "-m", "pytest", "-rA", *arguments],
            cwd=tmp_path,
            env=unmeasured if others else alone,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run


class TestClock:
    """`manual_clock`."""

    def test_it_starts_at_zero(self, manual_clock):
        """And moves by hand."""
        assert isinstance(manual_clock, ManualClock)
        assert manual_clock() == 0.0
        manual_clock.advance(5)

    def test_each_test_has_its_own(self, manual_clock):
        """The one before has moved another."""
        assert manual_clock() == 0.0

    def test_all_fixtures_are_on_it(self, manual_clock, scripted_provider, emulator, audit_records):
        """Calls, requests and records have its times."""
        provider = scripted_provider("a", [Delay(2, then="late")])
        manual_clock.advance(1)
        FallbackProvider(provider, clock=manual_clock, audit=audit_records.log).call()
        assert provider.calls[0].at == 1
        assert [record["mono"] for record in audit_records(machine="chain")] == [1, 3]
        assert emulator._clock is manual_clock


class TestScripted:
    """`scripted_provider`."""

    def test_options_are_those_of_the_class(self, scripted_provider):
        """The script may be left out, as there."""
        one = Price(input_mtok=1, output_mtok=1)
        provider = scripted_provider("a", ["x"], exhausted="repeat", model="m", price=one)
        assert [provider.call(), provider.call()] == ["x", "x"]
        assert (provider.info.model, provider.info.price) == ("m", one)
        assert scripted_provider("b").pending == 0

    def test_a_strict_one_that_was_played_is_well(self, scripted_provider):
        """Nothing is left, nothing is said."""
        assert scripted_provider("a", ["x"], strict=True).call() == "x"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"strict": "yes"}, "scripted_provider.strict is 'yes'; give True or False"),
            ({"clock": None}, "scripted_provider.clock is None; leave it out for manual_clock"),
            ({"exhausted": "never"}, "exhausted is 'never'; give one of fail, repeat"),
        ],
    )
    def test_what_cannot_work_is_refused(self, scripted_provider, options, words):
        """The error names argument, value and remedy."""
        with pytest.raises(ConfigurationError, match=words):
            scripted_provider("a", ["x"], **options)

    def test_only_a_strict_one_has_to_be_played_to_its_end(self, run_pytest):
        """The test itself passes, and its end fails, with one error for all of them."""
        text = """
            def test_lenient(scripted_provider):
                scripted_provider("a", ["x"])

            def test_strict(scripted_provider):
                scripted_provider("a", ["x", "y"], strict=True).call()
                scripted_provider("b", ["x"], strict=True).call()
                scripted_provider("c", ["x"], strict=True)
            """
        files = {"conftest.py": CONFTEST, "test_it.py": _dedented(text)}
        printed = run_pytest(files, status=1)
        assert "2 passed, 1 error" in printed
        assert (
            "steps were not played: 1 of ScriptedProvider('a', 2 steps), 1 of "
            "ScriptedProvider('c', 1 steps); call more often, or leave out strict=True"
        ) in printed

    def test_a_call_past_a_script_fails_the_test_at_its_end(self, run_pytest):
        """A chain took the error for the provider's, and was answered by the next one."""
        text = """
            from fsm_fallback import FallbackProvider

            def test_swallowed(scripted_provider):
                short = scripted_provider("a", ["x"])
                spare = scripted_provider("b", ["y"], exhausted="repeat")
                llm = FallbackProvider(short, spare)
                assert [llm.call("why") for _ in range(3)] == ["x", "y", "y"]
            """
        files = {"conftest.py": CONFTEST, "test_it.py": _dedented(text)}
        printed = run_pytest(files, status=1)
        assert "1 passed, 1 error" in printed
        assert "calls went past scripts: ScriptedProvider('a', 1 steps) by 2; add steps" in printed


class TestEmulator:
    """`emulator`."""

    def test_it_runs(self, emulator, post):
        """Its providers answer."""
        assert isinstance(emulator, Emulator)
        provider = emulator.provider("p", dialect="openai")
        assert post(provider, "/v1/responses", {"model": "m", "input": "Why?"})[0] == 200

    def test_it_is_stopped_with_the_test(self, run_pytest):
        """Its thread is gone, and what a responder raised fails the test it belongs to."""
        text = """
            import threading
            import urllib.error
            import urllib.request

            import pytest

            def test_first(emulator):
                def refuse(request):
                    raise ValueError("not this one")

                provider = emulator.provider("p", dialect="openai")
                provider.respond(refuse)
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with pytest.raises(urllib.error.HTTPError) as caught:
                    opener.open(f"{provider.base_url}/responses", b"{}", timeout=30)
                caught.value.close()

            def test_second():
                assert threading.active_count() == 1
            """
        files = {"conftest.py": CONFTEST, "test_it.py": _dedented(text)}
        printed = run_pytest(files, status=1)
        assert "2 passed, 1 error" in printed
        assert "ValueError: not this one" in printed


class TestRecords:
    """`audit_records`."""

    def test_it_gives_a_log_and_its_records(self, manual_clock, scripted_provider, audit_records):
        """The log for `audit=`, the records of it by a call."""
        assert isinstance(audit_records, AuditRecords)
        a = scripted_provider("a", [ConnectionError("down")])
        b = scripted_provider("b", ["hello"])
        FallbackProvider(a, b, clock=manual_clock, audit=audit_records.log).call()
        triggers = [record["trigger"] for record in audit_records(machine="chain")]
        assert triggers == ["offer", "fault", "offer", "answer"]
        assert [record["provider"] for record in audit_records(trigger="fault")] == ["a"]


class TestOutage:
    """`fallback_outage`."""

    def test_a_scripted_provider_fails_within_the_block(self, scripted_provider, fallback_outage):
        """With what is given, or as if nothing answered."""
        provider = scripted_provider("a", ["well"])
        with fallback_outage(provider), pytest.raises(ConnectionError):
            provider.call()
        with fallback_outage(provider, KeyError("k")), pytest.raises(KeyError):
            provider.call()
        assert provider.call() == "well"

    def test_an_emulated_provider_fails_within_the_block(self, emulator, post, fallback_outage):
        """With what is given, or with a status 503."""
        provider = emulator.provider("p", dialect="anthropic")
        request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}

        def ask():
            return post(provider, "/v1/messages", request)[0]

        with fallback_outage(provider):
            assert ask() == 503
            with fallback_outage(provider, Overloaded()):
                assert ask() == 529
            assert ask() == 503
        assert ask() == 200

    def test_it_lasts_as_long_as_it_is_told_to(
        self, manual_clock, scripted_provider, fallback_outage
    ):
        """It needs no block, and passes in virtual time."""
        provider = scripted_provider("a", ["well"])
        outage = fallback_outage(provider, duration=60)
        manual_clock.advance(59)
        with pytest.raises(ConnectionError):
            provider.call()
        manual_clock.advance(1)
        assert (outage.is_over, provider.call()) == (True, "well")

    def test_several_providers_may_be_down_at_once(self, scripted_provider, fallback_outage):
        """Each for itself."""
        a, b = scripted_provider("a", ["well"]), scripted_provider("b", ["well"])
        with fallback_outage(a):
            with fallback_outage(b), pytest.raises(ConnectionError):
                b.call()
            with pytest.raises(ConnectionError):
                a.call()
            assert b.call() == "well"

    @pytest.mark.parametrize(
        ("provider", "given", "words"),
        [
            (None, {}, "fallback_outage.provider is None; give a ScriptedProvider or an Emul"),
            ("openai", {}, "fallback_outage.provider is 'openai'; give a ScriptedProvider"),
            ("a", {"duration": 0}, "fallback_outage.duration is 0; give finite seconds > 0"),
            ("a", {"step": Status(503)}, "outage.step is a Status; give an exception"),
            (ManualClock, {}, "fallback_outage.provider is a ManualClock class; give a Scripted"),
        ],
    )
    def test_what_cannot_work_is_refused(
        self, scripted_provider, fallback_outage, provider, given, words
    ):
        """No outage has begun."""
        well = scripted_provider("a", ["well"])
        with pytest.raises(ConfigurationError, match=words):
            fallback_outage(well if provider == "a" else provider, **given)
        assert well.call() == "well"

    def test_it_ends_with_the_test(self, run_pytest):
        """Of a provider that outlives the test, too, and after an emulator that was stopped."""
        text = """
            from fsm_fallback.testing import Hang, ScriptedProvider

            SHARED = ScriptedProvider("a", ["well"])

            def test_first(fallback_outage, emulator):
                fallback_outage(SHARED)
                fallback_outage(SHARED, KeyError)
                fallback_outage(emulator.provider("p", dialect="openai"), Hang(), duration=9)

            def test_second():
                assert SHARED.call() == "well"
            """
        files = {"conftest.py": CONFTEST, "test_it.py": _dedented(text)}
        assert "2 passed" in run_pytest(files)


SHOP = """
RATE = 0.2


def price(net):
    if net < 0:
        raise ValueError(net)
    return net * (1 + RATE)
"""
TEST_SHOP = """
import pytest

from shop import RATE, price
from fsm_fallback.testing import AuditRecords, BeginOutage  # for annotations


def test_price(
    manual_clock, scripted_provider, emulator, audit_records: AuditRecords,
    fallback_outage: BeginOutage,
):
    assert price(10) == 12
    with pytest.raises(ValueError):
        price(-RATE)
    provider = scripted_provider("a", strict=True)
    with fallback_outage(provider, duration=1), pytest.raises(ConnectionError):
        provider.call()
"""


class TestMeasuring:
    """Coverage, and the cost of the plugin."""

    @pytest.mark.parametrize("how", ["conftest", "option"])
    def test_a_project_that_uses_it_is_measured_whole(self, run_pytest, tmp_path, how):
        """Each line of its modules, those at their top included."""
        conftest = CONFTEST if how == "conftest" else ""
        option = () if how == "conftest" else ("-p", "fsm_fallback.testing.plugin")
        files = {"conftest.py": conftest, "shop/__init__.py": SHOP, "test_shop.py": TEST_SHOP}
        run_pytest(files, *option, "--cov=shop", "--cov-branch", "--cov-report=json", others=True)
        (measured,) = _files_measured(tmp_path)
        assert measured["missing_lines"] == []
        assert measured["summary"]["percent_covered"] == 100
        assert len(measured["executed_lines"]) == 5

    def test_its_own_top_lines_are_measured_from_the_conftest(self, run_pytest, tmp_path):
        """As those of the package: nobody has imported them before."""
        files = {"conftest.py": CONFTEST, "shop/__init__.py": SHOP, "test_shop.py": TEST_SHOP}
        run_pytest(files, "--cov=fsm_fallback", "--cov-report=json", others=True)
        for path in (PLUGIN, PLUGIN.parent / "__init__.py", PLUGIN.parents[1] / "__init__.py"):
            (measured,) = _files_measured(tmp_path, path)
            assert measured["executed_lines"]
            assert set(measured["missing_lines"]) & _top_lines(path) == set()

    def test_importing_it_imports_nothing_but_pytest(self):
        """No SDK, no hypothesis, no emulator, none of the tools, beyond the package itself."""
        code = (
            "import sys, pytest, fsm_fallback; before = set(sys.modules); "
            "import fsm_fallback.testing.plugin; print(sorted(set(sys.modules) - before)); "
            "heavy = ('anthropic', 'anyio', 'asyncio', 'hypothesis', 'openai'); "
            "print([name for name in heavy if name in sys.modules])"
        )
        done = subprocess.run(  # noqa: S603  # our own interpreter and text
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        new, heavy = done.stdout.splitlines()
        assert new == "['fsm_fallback.testing', 'fsm_fallback.testing.plugin']"
        assert heavy == "[]"

    def test_it_is_off_unless_asked_for(self, run_pytest):
        """Installed but not named, it is not imported."""
        text = """
            import sys

            def test_absent():
                assert not [name for name in sys.modules if name.startswith("fsm_fallback")]
            """
        run_pytest({"test_it.py": _dedented(text)}, others=True)


def test_the_example_of_the_page_passes(run_pytest):
    """Its files, as they stand there."""
    blocks = FILE.findall(PAGE.read_text(encoding="utf-8"))
    assert [name for name, _ in blocks] == ["conftest.py", "test_chat.py"]
    assert "2 passed" in run_pytest(dict(blocks))


def test_its_fixtures_are_these():
    """Adding or removing one is a decision; each tells what it gives."""
    plugin = fsm_fallback.testing.plugin
    fixtures = {
        name: thing for name, thing in vars(plugin).items() if type(thing) is type(plugin.emulator)
    }
    assert list(fixtures) == [
        "manual_clock",
        "scripted_provider",
        "emulator",
        "audit_records",
        "fallback_outage",
    ]
    assert all(thing.__doc__ for thing in fixtures.values())


def _dedented(text):
    return "\n".join(line.removeprefix(" " * 12) for line in text.splitlines())


def _files_measured(folder, path=None):
    report = json.loads((folder / "coverage.json").read_text())
    return [
        measured
        for name, measured in report["files"].items()
        if path is None or (folder / name).resolve() == path.resolve()
    ]


def _top_lines(path):
    """The lines of a module that run when it is imported: all that are in no function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        line
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for line in range(node.body[0].lineno, node.end_lineno + 1)
    }
    return set(range(1, len(path.read_text(encoding="utf-8").splitlines()) + 1)) - inside


def test_the_fixtures_serve_awaited_calls_of_each_loop(
    loop, manual_clock, scripted_provider, fallback_outage, audit_records
):
    """An outage that ends on the clock, a limit on it, a delay that takes its time."""
    first = scripted_provider("first", [Delay(9, then="late"), "well"], strict=True)
    second = scripted_provider("second", ["instead", "again"], strict=True)
    llm = FallbackProvider(
        first,
        second,
        clock=manual_clock,
        audit=audit_records.log,
        config=FallbackConfig(attempt_timeout=5.0),
    )

    async def main():
        fallback_outage(first, duration=30)
        answers = [await llm.acall()]
        manual_clock.advance(30)
        return [*answers, await llm.acall(), await llm.acall()]

    assert loop.run(main) == ["instead", "again", "well"]
    assert manual_clock() == 35
    faults = audit_records(machine="chain", trigger="fault")
    assert [(each["provider"], each["mono"]) for each in faults] == [
        ("first", 0),
        ("first", 35),
    ]
