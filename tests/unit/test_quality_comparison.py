"""Tables of several methods and caption kinds, and the report made of them."""

import json

import numpy as np
import pandas as pd
import pytest
import tdanet_data
from scipy import stats

from nbsupport import quality
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.inpainters import base, classical, registry
from nbsupport.quality import intervals


class Listener:
    """Paints the hole in the colour that the caption names for the square; grey where it names none; noise by seed."""

    name = "listener"

    def __init__(self, noise=0):
        self.noise, self.seen = noise, []

    def fill(self, images, masks, captions, *, seeds):
        output = images.copy()
        output[:, 0] = 0  # outside the hole: damage that splicing must undo
        for number, (mask, text, seed) in enumerate(zip(masks, captions, seeds, strict=True)):
            self.seen.append((text, seed))
            word = next((word for word in text.split() if word in tdanet_data.COLOURS), None)
            colour = np.array(tdanet_data.COLOURS[word] if word else (128, 128, 128), float)
            noise = np.random.default_rng(seed).normal(0, self.noise, (int(mask.sum()), 3))
            output[number][mask] = np.clip(colour + noise, 0, 255)
        return output


def dataset(count=16):
    """Captions that name the square's colour first; pairs of photographs form groups."""
    data = tdanet_data.dataset(count)
    data.index["captions"] = [own[:1] for own in data.index["captions"]]
    data.index["group"] = np.arange(count) // 2
    return data


@pytest.fixture(scope="module")
def judged():
    data, painter = dataset(), Listener(noise=20)
    table = quality.evaluate(data, {"listener": painter}, np.arange(16), seed=3, batch_size=7)
    return data, painter, table


def test_the_table_has_one_row_for_each_photograph_method_and_caption(judged):
    data, _, table = judged
    kinds = {("listener", kind) for kind in quality.KINDS} | {(name, "none") for name in classical.CLASSICAL}
    counts = table.groupby(["method", "caption_kind"]).size()
    assert set(counts.index) == kinds and (counts == 16).all()
    assert list(table.columns) == ["row", "group", "method", "caption_kind", *quality.MEASURES]
    assert (table["group"] == data.index["group"].to_numpy()[table["row"]]).all()


def test_every_caption_gets_the_same_noise_and_the_right_text(judged):
    data, painter, _ = judged
    matched, mismatched = quality.pick_captions(data, np.arange(16), seed=3)
    by_text = [
        [seed for text, seed in painter.seen if text in texts] for texts in (set(matched) | set(mismatched), {""})
    ]
    assert len(by_text[1]) == 16 and len(set(by_text[1])) == 16
    assert sorted(by_text[0]) == sorted(by_text[1] * 2)


def test_rows_hold_the_measures_of_the_spliced_fill(judged):
    data, painter, table = judged
    images, holes = data.cache.batch(np.arange(16)), quality.centre_holes(16, (32, 32))
    seeds = [seed for text, seed in painter.seen if text == ""]
    output = Listener(noise=20).fill(images, holes, [""] * 16, seeds=seeds)
    expected = quality.measures(images, base.splice(images, output, holes), holes)
    found = table.query("method == 'listener' and caption_kind == 'empty'").sort_values("row")
    for name, values in expected.items():
        assert found[name].to_numpy() == pytest.approx(values, rel=1e-5), name
    whole = quality.evaluate(
        data, {"listener": Listener()}, np.arange(4), captions=("empty",), baselines=(), splice=False
    )
    spliced = quality.evaluate(data, {"listener": Listener()}, np.arange(4), captions=("empty",), baselines=())
    assert (whole["hole_l1"] == spliced["hole_l1"]).all() and (whole["whole_l1"] > spliced["whole_l1"]).all()


def test_a_perceptual_distance_gets_a_column_of_its_own_name():
    class Distance:
        name = "stub"

        def __call__(self, originals, outputs):
            return quality.whole_l1(originals, outputs)

    data = dataset(8)
    table = quality.evaluate(data, {}, np.arange(8), baselines=("telea",), perceptual=Distance())
    assert (table["stub"] == table["whole_l1"]).all() and (table["stub"] > 0).any()
    variety = quality.sample_diversity(data, Listener(noise=30), np.arange(4), samples=2, perceptual=Distance())
    assert variety["stub"].to_numpy() == pytest.approx(variety["hole_l1"] * quality.centre_holes(1, (32, 32)).mean())


def test_the_report_says_what_a_caption_is_worth(judged):
    _, _, table = judged
    report = quality.report(table, seed=1)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["photographs"] == 16 and report["groups"] == 8
    assert set(report["measures"]) == {"listener", *classical.CLASSICAL}
    assert set(report["measures"]["listener"]) == set(quality.KINDS) and set(report["caption_effect"]) == {"listener"}

    wide = table.query("method == 'listener'").pivot(index="row", columns="caption_kind")
    for kind in ("mismatched", "empty"):
        effect = report["caption_effect"]["listener"][kind]
        assert set(effect) == set(quality.MEASURES)
        paired = wide["hole_l1"][kind] - wide["hole_l1"]["matched"]
        assert effect["hole_l1"]["value"] == pytest.approx(paired.mean())
        assert 0 < effect["hole_l1"]["low"] < effect["hole_l1"]["value"] < effect["hole_l1"]["high"]
        # p values: of the means of groups, by the one-sample forms of the same tests
        means = paired.to_numpy().reshape(8, 2).mean(axis=1)
        assert effect["hole_l1"]["t_test"] == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
        assert effect["hole_l1"]["wilcoxon"] == pytest.approx(stats.wilcoxon(means).pvalue)
        assert effect["hole_l1"]["t_test"] < 0.05
    interval = {key: effect["hole_l1"][key] for key in ("value", "low", "high")}
    assert interval == quality.mean_interval(paired.to_numpy(), np.arange(16) // 2, seed=1)


def test_the_report_sets_the_network_beside_each_baseline(judged):
    _, _, table = judged
    report = quality.report(table)
    assert set(report["against"]["listener"]) == set(report["disjoint"]["listener"]) == set(classical.CLASSICAL)
    ours = table.query("method == 'listener' and caption_kind == 'matched'").sort_values("row")
    theirs = table.query("method == 'telea'").sort_values("row")
    against = report["against"]["listener"]["telea"]
    assert set(against) == set(intervals.MORE_IS_BETTER)
    for name in against:
        assert against[name]["value"] == pytest.approx((theirs[name].to_numpy() - ours[name].to_numpy()).mean())
    assert against["hole_l1"]["low"] > 0
    own = [report["measures"]["telea"]["none"]["hole_l1"], report["measures"]["listener"]["matched"]["hole_l1"]]
    assert report["disjoint"]["listener"]["telea"]["hole_l1"] is True and own[1]["high"] < own[0]["low"]


def test_a_network_deaf_to_captions_shows_no_effect_and_no_test():
    class Deaf(Listener):
        def fill(self, images, masks, captions, *, seeds):
            return super().fill(images, masks, [""] * len(captions), seeds=seeds)

    table = quality.evaluate(dataset(8), {"deaf": Deaf(10)}, np.arange(8), baselines=())
    effect = quality.report(table)["caption_effect"]["deaf"]["mismatched"]["hole_l1"]
    assert effect == {"value": 0, "low": 0, "high": 0, "t_test": None, "wilcoxon": None}


def test_overlapping_intervals_are_not_called_disjoint():
    def table(shift):
        draw = np.random.default_rng(0)
        names = {"row": np.arange(40), "group": np.arange(40)}
        values = {name: draw.normal(size=40) for name in intervals.MORE_IS_BETTER}
        other = {name: draw.normal(size=40) + shift for name in intervals.MORE_IS_BETTER}
        first = pd.DataFrame(names | {"method": "net", "caption_kind": "matched"} | values)
        return pd.concat([first, pd.DataFrame(names | {"method": "base", "caption_kind": "none"} | other)])

    assert quality.report(table(0.0))["disjoint"]["net"]["base"]["hole_l1"] is False
    assert quality.report(table(3.0))["disjoint"]["net"]["base"]["hole_l1"] is True
    assert quality.report(table(-3.0))["disjoint"]["net"]["base"]["hole_l1"] is True


def interval(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high}


def test_a_verdict_rests_on_the_perceptual_distance_too():
    table = pd.DataFrame({"row": [0, 1, 2] * 2, "group": [0, 1, 2] * 2, "method": ["net"] * 3 + ["telea"] * 3})
    table["caption_kind"] = ["matched"] * 3 + ["none"] * 3
    for name, values in {"hole_l1": (0.2, 0.3), "hole_ssim": (0.5, 0.4), "st_lpips_alex": (0.3, 0.2)}.items():
        table[name] = np.repeat(values, 3) + np.tile([0.0, 0.001, 0.002], 2)
    table = table.assign(**{name: 0.0 for name in intervals.MORE_IS_BETTER if name not in table})
    own = quality.report(table)["against"]["net"]["telea"]
    assert own["st_lpips_alex"]["high"] < 0
    assert quality.conclusion(own) == "mixed: better by hole_l1, hole_ssim; worse by st_lpips_alex"
    kinder = own | {"st_lpips_alex": interval(0.1, 0.2)}
    assert quality.conclusion(kinder) == "better"
    del kinder["st_lpips_alex"]
    assert quality.conclusion(kinder).endswith("no perceptual measure was taken")
    assert quality.conclusion({"hole_l1": interval(-1, 1)}) == "tie"
    assert quality.conclusion({"hole_ssim": interval(0.1, 0.2), "st_lpips_alex": interval(-1, 1)}) == "worse"


def test_a_caption_s_worth_is_named_by_its_share_of_the_error():
    assert quality.worth(interval(0.001, 0.002), 0.226) == "barely follows its caption"
    assert quality.worth(interval(0.007, 0.009), 0.2) == "follows its caption a little"
    assert quality.worth(interval(0.024, 0.026), 0.23) == "clearly follows its caption"
    assert quality.worth(interval(-0.1, 0.1), 0.2) == "cannot be shown to follow its caption"
    assert quality.worth(interval(-0.2, -0.1), 0.2) == "is better off with a wrong caption"


def test_a_missing_caption_is_explained_only_where_it_costs_more():
    low, high = {"hole_l1": interval(0.001, 0.002)}, {"hole_l1": interval(0.003, 0.004)}
    assert "out of distribution" in quality.missing_or_wrong({"mismatched": low, "empty": high}, 0.0)
    assert "out of distribution" not in quality.missing_or_wrong({"mismatched": low, "empty": high}, 0.1)
    assert "misleads" in quality.missing_or_wrong({"mismatched": high, "empty": low}, 0.0)
    assert "cannot be told" in quality.missing_or_wrong({"mismatched": low, "empty": low}, 0.0)


def test_the_sentences_of_the_training_chapter_follow_their_numbers():
    measures = {"hole_l1": interval(0.19, 0.21), "st_lpips_alex": interval(0.3, 0.4)}
    effects = {"mismatched": {"hole_l1": interval(0.011, 0.013)}, "empty": {"hole_l1": interval(0.001, 0.002)}}
    text = quality.caption_reading(effects, 0.2, 0.1)
    assert "6.0% of the error" in text and "**clearly follows its caption**" in text and "misleads" in text

    found = {"measures": {"tdanet": {"matched": measures}}, "caption_effect": {"tdanet": effects},
             "diversity": {"hole_l1": interval(0.01, 0.03), "photographs": 20, "samples": 5},
             "perceptual": "st_lpips_alex", "verdicts": {"Telea": "tie"}}  # fmt: skip
    assert "10.0% of how far" in (text := quality.diversity_reading(found)) and "20 photographs, 5 fillings" in text
    lines = quality.reading(found, {"st_lpips_alex": "ST-LPIPS"}).splitlines()
    assert lines[0].startswith("- L1 in the hole: 0.200") and lines[1].startswith("- ST-LPIPS: 0.350")
    assert lines[2] == "- Against Telea: tie." and lines[3].endswith("the network clearly follows its caption.")
    assert len(quality.reading(found | {"perceptual": None}, {}).splitlines()) == 3


def test_infinite_values_are_left_out_and_said_to_be():
    class Perfect:
        name = "perfect"

        def fill(self, images, masks, captions, *, seeds):
            output = images.copy()
            output[1:][masks[1:]] = 9  # all but the first are damaged
            return output

    table = quality.evaluate(dataset(6), {"perfect": Perfect()}, np.arange(6), baselines=(), captions=("matched",))
    found = quality.report(table)["measures"]["perfect"]["matched"]["psnr"]
    assert found["left_out"] == 1 and found["low"] <= found["value"] <= found["high"]
    alone = quality.report(table[table["row"] == 0])
    assert alone["measures"]["perfect"]["matched"]["psnr"] == {"value": None, "low": None, "high": None, "left_out": 1}
    json.dumps(alone, allow_nan=False)


def test_what_cannot_be_reported_or_evaluated_is_a_clear_error():
    data = dataset(8)
    with pytest.raises(ConfigError, match="Did you mean 'mismatched'"):
        quality.evaluate(data, {}, np.arange(4), captions=("mismached",))
    with pytest.raises(UserError, match="no photograph was evaluated"):
        quality.report(quality.evaluate(data, {}, np.arange(0)))
    with pytest.raises(UserError, match="a photograph twice"):
        quality.report(quality.evaluate(data, {}, np.array([1, 1]), baselines=("mean_colour",)))
    with pytest.raises(ConfigError, match="at least 2"):
        quality.sample_diversity(data, Listener(), np.arange(2), samples=1)


def test_diversity_is_the_mean_difference_between_samples():
    data = dataset(8)
    quiet = quality.sample_diversity(data, Listener(noise=0), np.arange(8))
    assert (quiet["hole_l1"] == 0).all(), "a network that ignores its noise has no diversity"
    loud = quality.sample_diversity(data, Listener(noise=25), np.arange(8), seed=2, samples=3, batch_size=3)
    painter = Listener(noise=25)
    quality.sample_diversity(data, painter, np.arange(1), seed=2, samples=3)
    images, holes = data.cache.batch([0]), quality.centre_holes(1, (32, 32))
    a, b, c = (painter.fill(images, holes, [text], seeds=[seed]) for text, seed in painter.seen[:3])
    expected = np.mean([np.abs(x[holes].astype(float) - y[holes]).mean() / 127.5 for x, y in ((a, b), (a, c), (b, c))])
    assert loud["hole_l1"][0] == pytest.approx(expected, rel=1e-5)
    assert list(loud["group"]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_compare_also_takes_a_method_that_reads_no_captions():
    table = quality.compare(dataset(6), registry.create("telea"), np.arange(6))
    assert list(table.columns) == ["row", "group", "tdanet", "tdanet_mismatched", "mean_colour", "telea"]
    assert (table["tdanet"] == table["telea"]).all() and (table["tdanet_mismatched"] == table["telea"]).all()
    assert quality.summary(table)["caption_effect"]["value"] == 0
