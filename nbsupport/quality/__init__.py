"""How good a filled hole is: against the photograph, against baselines, and with the right or a wrong caption.

``pixels`` measures single images, ``perceptual`` through a network; ``distributions`` measures sets (FID, KID).
``comparison`` fills the same holes by several methods and shows what the noise and the caption's strength change;
``intervals`` turns its tables into numbers for ``results/*.json``; ``attributes`` and ``text_alignment`` ask whether
fills show what their caption says. Not here: filling (``inpainters``), and whether a detector can tell
(``evaluation``).
"""

from nbsupport.data.synthetic.regions import birds_of
from nbsupport.quality import ablation, text_alignment
from nbsupport.quality.attributes import attribute_accuracy, attribute_summary, named_colours
from nbsupport.quality.comparison import (
    ALL_BASELINES,
    BASELINES,
    CENTRE_COVERAGE,
    KINDS,
    centre_holes,
    compare,
    evaluate,
    fills,
    judged_rows,
    pick_captions,
    sample_diversity,
    strengths,
)
from nbsupport.quality.distributions import Extractor, distance, distances, fid, kid
from nbsupport.quality.intervals import (
    better,
    caption_reading,
    conclusion,
    diversity_reading,
    missing_or_wrong,
    reading,
    report,
    summary,
    worth,
)
from nbsupport.quality.perceptual import Perceptual
from nbsupport.quality.pixels import (
    MEASURES,
    hole_l1,
    measures,
    psnr,
    ssim,
    total_variation,
    whole_l1,
)
from nbsupport.quality.text_alignment import (
    caption_found,
    five_captions,
    found_by_kind,
    other_colours,
    recoloured,
    result_r_precision,
)
from nbsupport.stats.bootstrap import mean_interval

__all__ = [
    "ALL_BASELINES",
    "BASELINES",
    "CENTRE_COVERAGE",
    "KINDS",
    "MEASURES",
    "Extractor",
    "Perceptual",
    "ablation",
    "attribute_accuracy",
    "attribute_summary",
    "better",
    "birds_of",
    "caption_found",
    "caption_reading",
    "centre_holes",
    "compare",
    "conclusion",
    "distance",
    "distances",
    "diversity_reading",
    "evaluate",
    "fid",
    "fills",
    "five_captions",
    "found_by_kind",
    "hole_l1",
    "judged_rows",
    "kid",
    "mean_interval",
    "measures",
    "missing_or_wrong",
    "named_colours",
    "other_colours",
    "pick_captions",
    "psnr",
    "reading",
    "recoloured",
    "report",
    "result_r_precision",
    "sample_diversity",
    "ssim",
    "strengths",
    "summary",
    "text_alignment",
    "total_variation",
    "whole_l1",
    "worth",
]
