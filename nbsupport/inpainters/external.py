"""Inpainters that others have trained: a LaMa file, and the pipelines of the library diffusers.

Neither is part of the package, and neither is needed by any chapter; both are stronger baselines where their weights
can be had. They were made for larger pictures than those of a quick run: LaMa takes any size, a diffusion pipeline gets
its pictures enlarged to the size it was trained on. What lies in the hole is blotted out before either sees it.

- ``lama:<file>``: Resolution-robust Large Mask Inpainting (Suvorov et al., WACV 2022) as the TorchScript file that is
  passed around as ``big-lama.pt``. A TorchScript file is a program: take it from nobody that you do not trust.
- ``diffusers:<folder or model id>``: any inpainting pipeline of diffusers with weights in safetensors, e.g.
  ``diffusers:stable-diffusion-v1-5/stable-diffusion-inpainting``. Needs the extra ``diffusion``.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import requests
import torch
from PIL import Image

from nbsupport.core import rng
from nbsupport.core.errors import InpainterError
from nbsupport.core.tensors import to_uint8
from nbsupport.inpainters.classical import mean_colour

INSTALL = "pip install 'nbsupport[diffusion]'"
_PATIENCE = 5  # seconds for the hub's first word
_MULTIPLE = 8  # LaMa halves the resolution three times


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _plain(text: str) -> str:
    """The last part of a path or id, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", Path(text).name)


class LaMa:
    """A LaMa in TorchScript.

    The file's ``forward`` takes (B, 3, H, W) float in [0, 1] and (B, 1, H, W) float, 1 = hole, with sides that are
    multiples of 8, and returns (B, 3, H, W) float in [0, 1].

    Args:
        path: of the file.

    Raises:
        InpainterError: the file is not there, or is no TorchScript.
    """

    reads_captions = False

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        if not path.is_file():
            raise InpainterError(
                f"There is no file '{path}'. Name a LaMa in TorchScript (big-lama.pt): lama:<its path>."
            )
        self.name = f"lama_{_plain(path.stem)}"
        self.device = _device()
        try:
            with warnings.catch_warnings():  # TorchScript is on its way out, but it is what LaMa is handed out as
                warnings.simplefilter("ignore", FutureWarning)
                self.model = torch.jit.load(str(path), map_location=self.device).eval()
        except Exception as error:  # a torn file, a state dict, a picture: each fails in its own way
            raise InpainterError(
                f"'{path}' cannot be read as TorchScript ({type(error).__name__}). It must be a scripted LaMa "
                "(big-lama.pt), not a checkpoint of its weights."
            ) from None

    @torch.inference_mode()
    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`, of any size; captions and seeds change nothing."""
        if not len(images):
            return images.copy()
        height, width = images.shape[1:3]
        pad = ((0, 0), (0, -height % _MULTIPLE), (0, -width % _MULTIPLE))
        holes = np.pad(masks, pad, mode="symmetric")
        pictures = np.pad(np.where(masks[..., None], 0, images), (*pad, (0, 0)), mode="symmetric")
        output = self.model(
            torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device).float() / 255,
            torch.from_numpy(holes)[:, None].to(self.device).float(),
        )[..., :height, :width]
        if not torch.isfinite(output).all():
            raise InpainterError(f"'{self.name}' returned NaN or infinite values. Check that the file is whole.")
        return to_uint8(output * 2 - 1)


class Diffusers:
    """An inpainting pipeline of diffusers; the caption is its prompt.

    Args:
        source: a folder that ``save_pretrained`` wrote, or a model id of the hub, downloaded once.
        steps: of the sampler. guidance: the weight of the caption.
        batch_size: pictures in the pipeline at a time; a fill depends on its own seed alone, whatever it is.

    Raises:
        InpainterError: the extra is not installed, or the weights cannot be had.
    """

    reads_captions = True

    def __init__(self, source: str, steps: int = 30, guidance: float = 7.5, batch_size: int = 4) -> None:
        self.name = f"diffusers_{_plain(source)}"
        self.steps, self.guidance, self.batch_size = steps, guidance, batch_size
        self.device = _device()
        self.pipeline = _pipeline(source, self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    @property
    def native_size(self) -> int:
        """The side, in pixels, of the square pictures that the network was trained on."""
        network = getattr(self.pipeline, "unet", None) or getattr(self.pipeline, "transformer", None)
        size = getattr(network.config, "sample_size", None) if network is not None else None
        return (size if isinstance(size, int) else 64) * self.pipeline.vae_scale_factor

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the pipeline works at: the shorter side native, both multiples of what it needs."""
        scale, step = self.native_size / min(height, width), self.pipeline.vae_scale_factor
        return max(step, round(height * scale / step) * step), max(step, round(width * scale / step) * step)

    @torch.inference_mode()
    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`, of any size, `batch_size` pictures at a time."""
        output = np.empty_like(images)
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            output[part] = self._fill(images[part], masks[part], list(captions[part]), seeds[part])
        return output

    def _fill(self, images: np.ndarray, masks: np.ndarray, captions: list[str], seeds: Sequence[int]) -> np.ndarray:
        size, (height, width) = images.shape[1:3], self.working_size(*images.shape[1:3])
        hidden = [Image.fromarray(mean_colour(i, m) if m.any() else i) for i, m in zip(images, masks, strict=True)]
        holes = [Image.fromarray(mask.astype(np.uint8) * 255) for mask in masks]
        result = self.pipeline(
            prompt=captions,
            image=[picture.resize((width, height), Image.Resampling.BICUBIC) for picture in hidden],
            mask_image=[hole.resize((width, height), Image.Resampling.NEAREST) for hole in holes],
            height=height,
            width=width,
            strength=1.0,  # start from noise alone
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=[torch.Generator().manual_seed(rng.torch_seed(int(seed), "diffusion")) for seed in seeds],
            output_type="pil",
        )
        flagged = getattr(result, "nsfw_content_detected", None) or []
        if any(flagged):  # the pipeline blackens such a picture, and black is no fill
            raise InpainterError(
                f"The safety checker of '{self.name}' withheld picture {flagged.index(True)} of the batch. Leave that "
                "photograph out, or give it another seed."
            )
        filled = [picture.resize(size[::-1], Image.Resampling.LANCZOS) for picture in result.images]
        return np.stack([np.asarray(picture.convert("RGB")) for picture in filled])


def _pipeline(source: str, device: torch.device):
    """Load a pipeline from a folder, from the hub's cache, or from the hub; give up quickly where none answers."""
    try:
        from diffusers import AutoPipelineForInpainting
    except (ImportError, RuntimeError) as error:  # diffusers turns a missing transformers into a RuntimeError
        raise InpainterError(
            f"'diffusers:{source}' needs an extra that is not installed. Install it:  {INSTALL}"
        ) from error
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def load(local: bool):
        # Only safetensors: a pickle is a program.
        return AutoPipelineForInpainting.from_pretrained(source, use_safetensors=True, local_files_only=local).to(
            device, dtype
        )

    if Path(source).is_dir():
        try:
            return load(local=True)
        except Exception as error:  # as many kinds as there are parts in the folder
            raise InpainterError(
                f"The folder '{source}' holds no inpainting pipeline of diffusers with weights in safetensors "
                f"({type(error).__name__}: {_first_line(error)})."
            ) from error
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise InpainterError(
            f"There is no folder '{source}', and it is no model id. Write diffusers:<folder> with a folder that "
            "save_pretrained wrote, or diffusers:<owner>/<model>."
        )
    try:
        return load(local=True)
    except Exception:  # not in the cache, or not all of it
        pass
    from huggingface_hub import constants

    try:
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        # The hub's client tries for half a minute before it says that there is no connection.
        requests.head(f"{constants.ENDPOINT}/{source}", timeout=_PATIENCE, allow_redirects=True)
        return load(local=False)
    except Exception as error:
        raise InpainterError(
            f"The weights of '{source}' are not on this machine and cannot be downloaded ({type(error).__name__}: "
            f"{_first_line(error)}). Try again with a connection, or give the folder of a downloaded copy: "
            "diffusers:<folder>."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:200]
