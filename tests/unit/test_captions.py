"""Words in, numbers out: nothing is lost silently, and what training did not say is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport.core.errors import UserError
from nbsupport.data.captions import Vocabulary, check_spaced, tokenise

VOCABULARY = Vocabulary.build(["a red bird", "a blue bird", "a red crown"], min_count=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("This Bird's black-and-white!", ["this", "bird's", "black", "and", "white"]),
        ("", []),
        (" ,.;–", []),
        ("3-toed, 10 cm", ["3", "toed", "10", "cm"]),
        ("Der Vogel heißt Grünfink", ["der", "vogel", "heißt", "grünfink"]),
        ("the bird’s bill\ufffd\ufffd", ["the", "bird's", "bill"]),
        ("under_score", ["under", "score"]),
    ],
)
def test_tokenise(text, words):
    assert tokenise(text) == words


def test_frequent_words_come_first_and_rare_ones_are_left_out():
    assert VOCABULARY.words == ("<pad>", "<unk>", "a", "bird", "red", "blue", "crown")
    assert Vocabulary.build(["a red bird", "a blue bird"]).words[2:] == ("a", "bird")


def test_encode_pads_cuts_and_marks_the_unknown():
    ids, lengths = VOCABULARY.encode(["a red bird", "a flumphy crown", "", "a bird a bird a bird"], 4)
    assert ids.tolist() == [[2, 4, 3, 0], [2, 1, 6, 0], [1, 0, 0, 0], [2, 3, 2, 3]]
    assert lengths.tolist() == [3, 3, 1, 4] and ids.dtype == lengths.dtype == np.int64
    assert VOCABULARY.decode(ids[1]) == "a <unk> crown"
    assert VOCABULARY.unknown_words("A flumphy, flumphy crown") == ["flumphy", "flumphy"]


def test_special_names_are_no_words():
    ids, _ = VOCABULARY.encode(["<pad> unk pad"], 4)
    assert ids.tolist() == [[1, 1, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=5), length=st.integers(1, 9))
def test_encoding_holds_for_any_text(texts, length):
    ids, lengths = VOCABULARY.encode(texts, length)
    assert ids.shape == (len(texts), length) and ids.min() >= 0 and ids.max() < len(VOCABULARY)
    for row, count, text in zip(ids, lengths, texts, strict=True):
        assert 1 <= count <= length and (row[:count] > 0).all() and (row[count:] == 0).all()
        words = tokenise(text)[:length]
        assert count == max(len(words), 1)
        assert [VOCABULARY.words[i] for i in row[:count]] == [w if w in VOCABULARY else "<unk>" for w in words or ["?"]]


@given(text=st.text(max_size=80))
def test_tokenising_again_changes_nothing(text):
    assert tokenise(" ".join(tokenise(text))) == tokenise(text)


def test_save_and_load(tmp_path):
    VOCABULARY.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == VOCABULARY
    (tmp_path / "v.json").write_text("[1]")
    with pytest.raises(UserError, match="not a vocabulary"):
        Vocabulary.load(tmp_path / "v.json")


def test_wrong_use_is_named():
    with pytest.raises(UserError):
        Vocabulary(["a", "b"])
    with pytest.raises(UserError, match="length=0"):
        VOCABULARY.encode(["a"], 0)


@pytest.mark.parametrize("text", ["一只红色的小鸟站在树枝上唱歌", "นกสีแดงเกาะอยู่บนกิ่งไม้"])
def test_scripts_without_spaces_are_refused_until_they_have_some(text):
    with pytest.raises(UserError, match="without spaces"):
        check_spaced([text] * 3 + ["a red bird"] * 4)
    check_spaced([text] + ["a red bird"] * 4)
    check_spaced([" ".join(text[n : n + 3] for n in range(0, len(text), 3))] * 3)


def test_share_of_unknown_words():
    known = Vocabulary(("<pad>", "<unk>", "a", "bird"))
    assert known.unknown_share(["a red bird", "a cat"]) == 0.4 and known.unknown_share([]) == 0
