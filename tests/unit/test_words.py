"""Captions of the demo: edits of one colour, suggestions."""

from nbsupport.demo import words


def test_an_edit_changes_one_colour_and_its_article():
    edits = words.colour_edits("a red bird with an orange bill.", ("red", "orange", "blue"), count=3)
    assert edits == [
        "an orange bird with an orange bill.", "a red bird with a blue bill.", "a blue bird with an orange bill.",
    ]  # fmt: skip
    assert words.colour_edits("no colour here") == [] and words.colour_edits("a Redstart") == []


def test_suggestions_hold_the_own_captions_edits_and_none():
    listed = words.suggestions(["a bird.", "a red bird.", "a red bird."])
    own = [text for why, text in listed if why == "its own"]
    edits = [text for why, text in listed if why == "another colour"]
    assert own == ["a bird.", "a red bird."] and listed[-1] == ("no caption", "")
    assert len(edits) == 4 and all(text.endswith(" bird.") and "red" not in text for text in edits)
    assert words.suggestions([]) == [("no caption", "")]
