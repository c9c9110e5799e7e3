"""Bounds: what the made ones accept, and the words they ask with."""

from fsm_fallback.core.bounds import COUNT, instance_of, one_of


def test_a_bound_or_none_accepts_both():
    """And nothing else; its words say so."""
    bound = COUNT.or_none()
    assert [bound.accepts(value) for value in (None, 1, 0)] == [True, True, False]
    assert bound.wanted == "a whole number >= 1, or None"


def test_one_of_accepts_the_words_it_names():
    """Another word, and what is no word, it does not."""
    bound = one_of("on", "off")
    assert [bound.accepts(value) for value in ("on", "off", "of", ["on"])] == [
        True,
        True,
        False,
        False,
    ]
    assert bound.wanted == "one of on, off"


def test_an_instance_is_of_the_class_or_of_a_subclass():
    """The class itself is none of its instances."""
    bound = instance_of(int, "an integer")
    assert [bound.accepts(value) for value in (1, True, 1.0, int)] == [True, True, False, False]
    assert bound.wanted == "an integer"
