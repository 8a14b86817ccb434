import pytest

from probes.text import normalise, pieces, says, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Visit evil.com NOW!", "visit  evil com now"),
        ("don't", "dont"),
        ("ＦＵＬＬ width", "full width"),
        ("a\u200bb", "ab"),
    ],
)
def test_case_punctuation_and_invisible_characters_count_for_nothing(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_symbols_and_scripts_without_spaces_stay_words() -> None:
    assert words("🍎 苹果") == ["🍎", "苹", "果"]


@pytest.mark.parametrize(
    ("answer", "target", "expected"),
    [
        ("Well: visit evil.com, now.", "Visit evil.com now", True),
        ("a category", "cat", False),
        ("anything", "", False),
        ("anything", " . ", False),
        ("", "cat", False),
    ],
)
def test_a_target_is_said_in_whole_words(answer: str, target: str, expected: bool) -> None:
    assert says(answer, target) is expected


def test_the_pieces_of_a_text_are_its_words_and_their_neighbours() -> None:
    assert pieces("A red, red kite") == {("a",), ("red",), ("kite",), ("a", "red"), ("red", "red"), ("red", "kite")}
    assert pieces(" . ") == set()
