"""R-precision of filled pictures against a judge that knows, five captions on one hole, and the figures."""

import itertools
import types
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from tdanet_data import COLOURS, dataset
from torch import nn

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.tensors import to_tensor
from nbsupport.data import index, synthetic
from nbsupport.plots import style
from nbsupport.plots import text_alignment as figures
from nbsupport.quality import colours, text_alignment
from nbsupport.tdanet import damsm, retrieval

LENGTH = 12


class KnowingJudge(nn.Module):
    """Judges by the square alone: its colour in the middle of the picture, the first colour that the caption names."""

    def __init__(self, vocabulary):
        super().__init__()
        self.config = types.SimpleNamespace(caption_length=LENGTH)
        self.anchor = nn.Parameter(torch.zeros(1))
        self.tones = torch.tensor(list(COLOURS.values())) / 127.5 - 1
        self.words = [int(vocabulary.encode([name], 1)[0][0, 0]) for name in COLOURS]

    def image(self, images):
        middle = images[..., images.shape[-2] // 2, images.shape[-1] // 2]
        return None, -10 * torch.cdist(middle, self.tones)

    def text(self, tokens, lengths):
        first = [next(w for w in row.tolist() if w in self.words) if set(row.tolist()) & set(self.words) else None
                 for row in tokens]  # fmt: skip
        sentence = torch.full((len(tokens), len(self.words)), -10.0)
        for row, word in enumerate(first):
            if word is not None:
                sentence[row, self.words.index(word)] = 10.0
        return types.SimpleNamespace(sentence=sentence)


@pytest.fixture(scope="module")
def data():
    """Squares; each caption begins with the square's colour, and only one photograph of each split has each colour."""
    found = dataset(count=40)
    split, test = found.index["split"].to_numpy(), 0
    for row in range(40):
        if split[row] == "test":
            found.cache.images[row, 8:-8, 8:-8] = list(COLOURS.values())[test % 4]
            found.index.at[row, "captions"] = [f"a {list(COLOURS)[test % 4]} square"] * 2
            test += 1
    return found


@pytest.fixture(scope="module")
def judge(data):
    return types.SimpleNamespace(model=KnowingJudge(data.vocabulary), vocabulary=data.vocabulary)


def names(data, rows):
    return [data.index["captions"].iloc[row][0].split()[1] for row in rows]


def painted(data, rows, colours):
    pictures = data.cache.batch(rows).copy()
    for picture, colour in zip(pictures, colours, strict=True):
        picture[8:-8, 8:-8] = COLOURS[colour]
    return pictures


def test_a_caption_is_found_only_where_it_was_painted(data, judge):
    """Pictures painted as told are all found by their captions; painted otherwise, none is."""
    rows = data.rows("test")
    other = [list(COLOURS)[(list(COLOURS).index(name) + 1) % 4] for name in names(data, rows)]
    told = [f"a {name} square" for name in other]  # edited captions
    heard = text_alignment.result_r_precision(judge, data, painted(data, rows, other), rows, told)
    deaf = text_alignment.result_r_precision(judge, data, data.cache.batch(rows), rows, told)
    assert heard["r_precision"]["value"] == 1.0
    assert deaf["r_precision"]["value"] == 0.0
    assert heard["photographs"] == 10
    assert heard["wrong"] == 9
    assert heard["chance"] == 0.1
    assert heard["r_precision"]["low"] < 1.0  # ten pictures do not prove perfection


def test_wrong_captions_come_from_other_groups_and_the_same_split(data, judge):
    """All test photographs in one group: nothing is left to be beaten, though other splits have captions."""
    rows = data.rows("test")
    told = [f"a {name} square" for name in names(data, rows)]
    grouped = data.index.copy()
    grouped.loc[rows, "group"] = 7
    one_group = index.Dataset(grouped, data.rejected, data.cache, data.vocabulary, data.config)
    with pytest.raises(UserError, match="more photographs"):
        text_alignment.caption_found(judge, one_group, data.cache.batch(rows), rows, told)


def test_what_reads_the_same_is_no_wrong_caption(data, judge):
    """Captions of other photographs that name the same colour in the same words do not count against a picture."""
    rows = data.rows("test")[:3]
    told = [f"a {name} square" for name in names(data, rows)]
    assert text_alignment.caption_found(judge, data, data.cache.batch(rows), rows, told).all()
    other_words = [f"the square is {name}" for name in names(data, rows)]  # the judge scores them alike: a tie, no hit
    assert not text_alignment.caption_found(judge, data, data.cache.batch(rows), rows, other_words).any()


def test_pictures_and_captions_must_fit_together(data, judge):
    rows = data.rows("test")
    with pytest.raises(ConfigError, match="9 captions"):
        text_alignment.caption_found(judge, data, data.cache.batch(rows), rows, ["a red square"] * 9)
    with pytest.raises(ConfigError, match="matched captions"):
        text_alignment.caption_found(judge, data, data.cache.batch(rows), rows, [" "] * 10)


def test_untouched_photographs_give_the_r_precision_of_matching():
    """With every other caption as a wrong one, both ways of counting meet the same captions and must agree."""
    data = dataset(count=80)
    rows = data.rows("test")
    weights = damsm.MatchingWeights(
        text_channels=16, word_channels=8, image_channels=4, caption_length=LENGTH, vocabulary_size=len(data.vocabulary)
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = damsm.Matcher(weights)
    texts = [" ".join(words) for words in itertools.product(COLOURS, repeat=3)][: len(rows)]  # no two the same
    for row, text in zip(rows, texts, strict=True):
        data.index.at[row, "captions"] = [text]
    found = text_alignment.result_r_precision(
        types.SimpleNamespace(model=model, vocabulary=data.vocabulary), data, data.cache.batch(rows), rows, texts, 3, 19
    )
    of_photographs = retrieval.r_precision(model, data, 3, wrong=19)
    assert found["r_precision"]["value"] == pytest.approx(of_photographs["r_precision"])
    assert found["chance"] == of_photographs["chance"] == 0.05 and found["wrong"] == of_photographs["wrong"] == 19
    hits = []
    for row, text in zip(rows, texts, strict=True):  # one photograph at a time, cosines by numpy
        others = [texts[n] for n in range(len(rows)) if rows[n] != row]
        chosen = rng.generator(3, "wrong captions", int(row)).permutation(np.flatnonzero(rows != row))[:19]
        with torch.no_grad():
            tokens, lengths = data.vocabulary.encode([text, *(texts[n] for n in chosen)], model.config.caption_length)
            words = model.eval().text(torch.from_numpy(tokens), torch.from_numpy(lengths)).sentence.numpy()
            picture = model.image(to_tensor(data.cache.batch([row])))[1][0].numpy()
        cosines = words @ picture / np.linalg.norm(words, axis=1)
        hits.append(cosines[0] > cosines[1:].max())
        assert len(others) >= 19
    assert of_photographs["r_precision"] == pytest.approx(np.mean(hits)) and 0 < np.mean(hits) < 1


class Listener:
    """Paints the hole in the colour that the caption names, the darker the larger the last digit of the seed."""

    name = "listener"

    def fill(self, images, masks, captions, *, seeds):
        filled = images.copy()
        for picture, hole, caption, seed in zip(filled, masks, captions, seeds, strict=True):
            named = [word for word in caption.rstrip(".").split() if word in synthetic.COLOURS]
            noise = np.random.default_rng(seed).normal(0, 6, (hole.sum(), 3))
            picture[hole] = (np.array(synthetic.COLOURS[named[0] if named else "grey"]) + noise).clip(0, 255)
            picture[~hole] = 0  # what lies outside the hole is not to be used
        return filled


def test_five_captions_share_photograph_hole_and_noise(data):
    hole = np.zeros((32, 32), bool)
    hole[4:12, 5:9] = True
    row = int(data.rows("test")[0])
    captions = ["red", "blue", "red", "", "green"]
    pictures = text_alignment.five_captions(data, Listener(), row, hole, captions, seed=4)
    assert pictures.shape == (5, 32, 32, 3)
    assert (pictures[:, ~hole] == data.cache.images[row][~hole]).all()
    assert (pictures[0] == pictures[2]).all()
    assert (pictures[0][hole] != pictures[1][hole]).any()
    again = text_alignment.five_captions(data, Listener(), row, hole, captions, seed=5)
    assert (pictures[0][hole] != again[0][hole]).any()


@pytest.fixture(scope="module")
def bird_data():
    """One drawn bird in a data set of its own."""
    params = synthetic.sample_parameters(0, 47)
    drawing = synthetic.draw_bird(params, 96)
    data = dataset(count=4, size=96)
    data.cache.images[1] = drawing.image
    table = data.index.assign(width=96, height=96, box=None)
    table.at[1, "image_id"] = "bird"
    return index.Dataset(table, data.rejected, data.cache, data.vocabulary, data.config), {"bird": params}


def test_a_bird_is_recoloured_as_told(bird_data, monkeypatch):
    monkeypatch.setattr(colours, "_CALIBRATION_BIRDS", 36)
    colours.colour_reader.cache_clear()
    data, birds = bird_data
    found = text_alignment.recoloured(data, birds, Listener(), 1, "wing", seed=2)
    colours.colour_reader.cache_clear()
    assert len(set(found.named)) == len(found.captions) == 5
    assert found.named[0] == birds["bird"].wing
    assert found.captions[0] == synthetic.caption_with(birds["bird"], "wing")
    assert found.captions[-1] == ""
    assert found.named[-1] is None
    assert found.read == (*found.named[:-1], "grey")
    assert (found.pictures[:, ~found.hole] == found.photograph[~found.hole]).all()

    figure = figures.five_captions(
        found.photograph, found.hole, found.pictures, found.captions, found.named, found.read
    )
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 7
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert sum(word.startswith("painted: ") for word in words) == 5
    assert "(no caption)" in words
    framed = [axis for axis in shown if axis.spines["left"].get_visible()]
    assert {axis.spines["left"].get_edgecolor() for axis in framed} == {plt.matplotlib.colors.to_rgba("#009E73")}
    assert len(framed) == 4
    with pytest.raises(UserError, match="birds_of"):
        text_alignment.recoloured(data, {}, Listener(), 1, "wing")


def test_a_caption_with_a_dollar_is_no_formula(data):
    hole = np.zeros((32, 32), bool)
    pictures = np.repeat(data.cache.batch([0]), 2, axis=0)
    figure = figures.five_captions(pictures[0], hole, pictures, ["a $5 bird for $6", ""])
    figure.canvas.draw()
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert any(r"\$5" in word for word in words)
    assert not any(word.startswith("painted") for word in words)


def test_accuracy_is_drawn_where_it_lies():
    def number(value):
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    def rates(true, edited):
        return {"accuracy": {"true": number(true), "edited": number(edited)}, "reader": number(0.99),
                "chance": {"uniform": 1 / 12}}  # fmt: skip

    summary = {**rates(0.6, 0.5), "parts": {"wing": rates(0.7, 0.4), "bill": rates(0.5, 0.6)}}
    with plt.rc_context():
        style.use_style()
        figure = figures.attribute_accuracy(summary)
        figure.canvas.draw()
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["all parts", "wing", "bill"]
    dots = sorted(tuple(dot) for marks in axis.collections for dot in marks.get_offsets().tolist() if len(dot) == 2)
    assert [height for _, height in dots if height not in (0, 1)][:6] == [0.6, 0.5, 0.7, 0.4, 0.5, 0.6]
    assert len(figure.legends[0].get_texts()) == 4


def test_the_first_caption_with_a_colour_is_painted_in_others():
    def photographs(*captions):
        count = len(captions)
        index = pd.DataFrame({"image_id": [f"p{n}" for n in range(count)], "group": range(count), "split": "test"})
        return SimpleNamespace(index=index.assign(captions=[[text] for text in captions]))

    some = photographs("a bird", "a grey bird, black wing", "a red bird")
    row, captions = text_alignment.other_colours(some, [0, 1, 2])
    assert row == 1 and captions[0] == "a grey bird, black wing" and captions[-1] == "" and len(captions) == 5
    assert captions[1] == "a red bird, red wing" and captions[3] == "a blue bird, blue wing"
    plain = photographs("a bored bird", "a bird")
    assert text_alignment.other_colours(plain, [1, 0]) == (1, [""] * 5), "no colour, though 'red' in bored"
