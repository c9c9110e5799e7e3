"""What a configuration is read from."""

import os
from pathlib import Path

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.config.reading import read


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_as_toml(tmp_path, kind):
    """A string or a path object."""
    (tmp_path / "a.toml").write_text('name = "ä"\n', encoding="utf-8")
    assert read(kind(tmp_path / "a.toml")) == {"name": "ä"}


def test_a_mapping_is_taken_as_it_is():
    """Whoever has tables already needs no file."""
    tables = {"name": "a"}
    assert read(tables) is tables


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name = \n", "is no TOML at line 1, column 8 (Invalid value); mend it"),
        (b'a = 1\n\nname = "x" y\n', "is no TOML at line 3, column 12"),
        (b"name = ", "is no TOML at its end (Invalid value); mend it"),
        (b"a = 1" + b"0" * 5000, "has a number of more than 4300 digits; give one of 64 bits"),
        (b"a = " + b"[" * 5000, "is nested too deep; take tables or lists out"),
        (
            b'[providers]\nname = "a"\n[providers]\n',
            (
                "is no TOML at line 3, column 11 (Cannot declare ('providers',) twice); "
                "write [[providers]] above each"
            ),
        ),
        (
            b'[providers]\nname = "a"\n[[providers]]\n',
            (
                "is no TOML at line 3, column 12 (Cannot overwrite a value); "
                "write [[providers]] above each"
            ),
        ),
        (b"name = '\xff'", "is no UTF-8 (byte 8); write it as UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_the_place(tmp_path, content, problem):
    """Line and column, where there are any."""
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path / "a.toml")
    assert f"a.toml' {problem}" in str(caught.value)


def test_the_text_of_a_file_that_is_no_toml_is_not_told(tmp_path):
    """Neither a key in it, nor with what the error was raised from."""
    key = "sk-proj-abcdefghijklmnop0123456789"
    (tmp_path / "a.toml").write_text(f"[{key}]\n[{key}]\n")
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path / "a.toml")
    assert "(Cannot declare ('(may be a key, not shown)',) twice)" in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_byte_order_mark_is_read_over(tmp_path):
    """Editors of Windows write one."""
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfname = 'a'\r\n")
    assert read(tmp_path / "a.toml") == {"name": "a"}


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path):
    """A pipe that nobody writes to would be read for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigurationError, match="is no regular file; give the path"):
            read(path)


def test_a_file_that_is_not_there_is_told():
    """By its path and what the system says."""
    with pytest.raises(ConfigurationError) as caught:
        read("nowhere/a.toml")
    assert caught.value.problems == (
        "'nowhere/a.toml' cannot be read (No such file or directory); give the path of a TOML file",
    )


@pytest.mark.parametrize("config", [None, 3, "", ["a"], b""])
def test_what_is_no_configuration_is_refused(config):
    """Neither a path nor a mapping."""
    with pytest.raises(ConfigurationError, match="give the path of a TOML file, a mapping or"):
        read(config)


def test_a_path_with_a_null_byte_is_refused():
    """The system refuses it as a value, not as a file."""
    with pytest.raises(ConfigurationError, match="null byte"):
        read("a\0b")
