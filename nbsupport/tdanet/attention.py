"""The dual multimodal attention: which words does this part of the picture explain, and which are left over?

Source: TDANet, section 3.2. Each image position i scores each word j. In the *auxiliary* path the positions are those
of the removed part, and a softmax over the words keeps what that part shows. In the *inpainting* path the positions are
those of the visible part and the scores are **negated** before the softmax: the words that the visible part does not
explain are kept, since they are what the hole should show. Max-pooling over the positions gives one vector.
"""

import torch
from torch import Tensor, nn

from nbsupport.tdanet.text import Text


class DualAttention(nn.Module):
    """Scores s_ij of position i and word j, softmax over the words of +s or -s, max-pooling over positions.

    Preset ``faithful``: s_ij = <q(v_i), k(w_j)> / sqrt(K). The division (Vaswani et al. 2017) is ours; without it the
    softmax saturates from the start. Even so the scores grow along one direction, that of a word's place in the
    sentence, until the first or the last word gets everything. Preset ``repaired``: s_ij = t cos(q(v_i), k(w_j) - k),
    with k the mean over the caption's words and t learnt, at most 20: what a sentence's words have in common cannot
    matter, and no word can win by the length of its key.

    Args: max_pool: False (an ablation) takes the mean over the positions. cosine: the ``repaired`` scores.
    """

    def __init__(self, image_channels: int, text_channels: int, max_pool: bool = True, cosine: bool = True) -> None:
        super().__init__()
        self.max_pool = max_pool
        self.sharpness = nn.Parameter(torch.tensor(5.0).log()) if cosine else None  # log t
        self.query = nn.Conv2d(image_channels, text_channels, 1, bias=False)
        self.key = nn.Conv1d(text_channels, text_channels, 1, bias=False)

    def forward(self, features: Tensor, text: Text, where: Tensor, negate: bool) -> tuple[Tensor, Tensor]:
        """Attend over words at some positions of the picture.

        Args:
            features: (B, C, h, w) float, v_h of the visible part, or of the removed part in the auxiliary path.
            text: words (B, D, L), present (B, L).
            where: (B, 1, h, w) bool, True = a position that takes part; a picture without any uses all of them.
            negate: True in the inpainting path, False in the auxiliary path.

        Returns:
            pooled (B, D) float, the word features kept, and weights (B, h*w, L) float in [0, 1], which sum to 1 over
            the words of each position and are 0 on padding.
        """
        queries, keys = self.query(features).flatten(2).float(), self.key(text.words).float()  # (B, D, N), (B, D, L)
        scores = torch.einsum("bdn,bdl->bnl", *self._scaled(queries, keys, text.present[:, None, :]))
        scores = -scores if negate else scores
        scores = scores.masked_fill(~text.present[:, None, :], float("-inf"))
        weights = scores.softmax(dim=-1)
        kept = torch.einsum("bnl,bdl->bnd", weights, text.words.float())
        used = where.flatten(1)
        used = used | ~used.any(dim=1, keepdim=True)
        if self.max_pool:
            return kept.masked_fill(~used[:, :, None], float("-inf")).amax(dim=1), weights
        return (kept * used[:, :, None]).sum(dim=1) / used.sum(dim=1, keepdim=True), weights

    def _scaled(self, queries: Tensor, keys: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys whose products are the scores."""
        if self.sharpness is None:
            return queries / queries.shape[1] ** 0.5, keys
        common = (keys * present).sum(dim=2, keepdim=True) / present.sum(dim=2, keepdim=True)
        sharpness = self.sharpness.exp().clamp(max=20)
        return sharpness * nn.functional.normalize(queries, dim=1), nn.functional.normalize(keys - common, dim=1)


class WordReader(nn.Module):
    """Each position of the generator reads the words once more, and adds what it read (preset ``repaired``).

    The paper's max-pooled vector says *what* is missing but not *where*; "a red belly and a blue wing" needs both.
    """

    def __init__(self, channels: int, text_channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.words = nn.Conv1d(text_channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor, text: Text) -> Tensor:
        """features: (B, C, h, w) float; text: words (B, D, L), present (B, L). Returns (B, C, h, w) float."""
        batch, channels, height, width = features.shape

        def split(flat: Tensor) -> Tensor:  # (B, C, N) -> (B, heads, N, C / heads)
            return flat.reshape(batch, self.heads, channels // self.heads, -1).transpose(2, 3)

        keys, values = self.words(text.words).chunk(2, dim=1)
        read = nn.functional.scaled_dot_product_attention(
            split(self.query(self.norm(features)).flatten(2)),
            split(keys),
            split(values),
            attn_mask=text.present[:, None, None, :],
        )
        return features + self.out(read.transpose(2, 3).reshape(batch, channels, height, width))


class ShortLongAttention(nn.Module):
    """Short-term attention within the decoder, long-term attention from the decoder to the encoder's v_l.

    Source: TDANet, section 3.4, after PICNet (Zheng et al. 2019, arXiv 1903.04227, section 3.3). One map of which
    positions resemble which, made from the decoder's features, is read twice: over the decoder's own features
    (short-term: the picture is consistent in itself) and over v_l of the visible part (long-term: texture is fetched
    from where it can be seen). Visible positions keep their own v_l, so this is also the network's skip connection.
    """

    def __init__(self, decoder_channels: int, encoder_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(decoder_channels, max(4, decoder_channels // 4), 1)
        self.gain_short = nn.Parameter(torch.zeros(1))
        self.gain_long = nn.Parameter(torch.ones(1))
        self.join = nn.Conv2d(decoder_channels + encoder_channels, decoder_channels, 3, padding=1)

    def forward(self, decoder: Tensor, low: Tensor, hole: Tensor) -> Tensor:
        """Attend.

        Args:
            decoder: (B, C, h, w) float, features of the generator. low: (B, C_l, h, w) float, v_l of the visible part.
            hole: (B, 1, h, w) bool, True = the cell touches the hole.

        Returns:
            (B, C, h, w) float.
        """
        batch, _, height, width = decoder.shape
        query, here, seen = (f.flatten(2).transpose(1, 2) for f in (self.query(decoder), decoder, low))  # (B, N, C)
        energy = (query @ query.transpose(1, 2)).float() / query.shape[-1] ** 0.5
        short = energy.softmax(dim=-1).to(here.dtype) @ here
        # Texture is fetched from visible cells only; a picture that is all hole has none, and attends everywhere.
        hidden = hole.flatten(1)[:, None, :]
        hidden = hidden & ~hidden.all(dim=-1, keepdim=True)
        fetched = energy.masked_fill(hidden, float("-inf")).softmax(dim=-1).to(seen.dtype) @ seen
        long = torch.where(hole.flatten(1)[:, :, None], self.gain_long * fetched, seen)
        both = torch.cat([here + self.gain_short * short, long], dim=-1)  # (B, N, C + C_l)
        return decoder + self.join(both.transpose(1, 2).reshape(batch, -1, height, width))
