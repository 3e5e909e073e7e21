"""What a reader takes away: a zip of the pictures, the mask, and a record of where everything came from."""

import io
import json
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

from nbsupport import runs
from nbsupport.core import files
from nbsupport.demo.mask_editor import mask_png
from nbsupport.demo.state import Filled, Session, Verdict
from nbsupport.tdanet.weights import FOLDER

_DATE = (1980, 1, 1, 0, 0, 0)  # a zip's earliest: equal fills make equal bytes


def picture_png(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def record(session: Session, filled: Filled, verdicts: Mapping[str, Verdict]) -> dict:
    """Where a fill came from: picture, caption, inpainter, weights, seed, versions, verdicts; plain JSON values."""
    versions = runs.provenance()
    source = {"image_id": filled.image_id, "samples": session.samples.title}
    if filled.sha256:
        source = {"upload": filled.image_id, "sha256": filled.sha256}
    height, width = filled.mask.shape
    return {
        "picture": {**source, "height": height, "width": width},
        "mask": {"file": "mask.png", "polarity": "255 = hole", "coverage": filled.coverage},
        "caption": filled.caption,
        "unknown_words": list(filled.unknown_words),
        "inpainter": filled.inpainter,
        "weights": weights(session, filled.inpainter),
        "seed": filled.seed,
        "square": vars(filled.square) if filled.square else None,
        "seconds": round(filled.seconds, 4),
        "detectors": session.inspector.title if session.inspector else None,
        "verdicts": {name: _plain(verdict) for name, verdict in verdicts.items()},
        "versions": {"python": versions["python"], **versions["versions"]},
        "commit": versions["commit"],
    }


def weights(session: Session, inpainter: str) -> dict[str, str] | None:
    """Where an inpainter's weights came from and their SHA-256; None for one without."""
    prefix, _, source = inpainter.partition("@")[0].partition(":")  # behind "@": the caption's strength
    if prefix != "tdanet":
        return None
    path = FOLDER / f"{source}.safetensors" if source else session.run / "checkpoints/tdanet.safetensors"
    where = f"package: {source}" if source else f"run: {session.run.name}"
    return {"from": where, "sha256": files.hash_file(path)}


def _plain(verdict: Verdict) -> dict:
    return {
        name: {"probability": prediction.probability, "verdict": prediction.verdict, "precision": prediction.precision}
        for name, prediction in verdict.predictions.items()
    }


def archive(session: Session, filled: Filled, verdicts: Mapping[str, Verdict]) -> bytes:
    """A zip with original.png, mask.png, spliced.png, regenerated.png and provenance.json, as bytes."""
    files = {
        "original.png": picture_png(filled.original),
        "mask.png": mask_png(filled.mask),
        "spliced.png": picture_png(filled.spliced),
        "regenerated.png": picture_png(filled.regenerated),
        "provenance.json": json.dumps(record(session, filled, verdicts), indent=2, ensure_ascii=False).encode(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as container:
        for name, data in files.items():
            container.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()
