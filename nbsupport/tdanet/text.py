"""The text encoder: a bidirectional GRU that gives a feature for each word and one for the sentence.

Source: the DAMSM text encoder of AttnGAN (arXiv 1711.10485, section 3.2), which TDANet takes over with a GRU in place
of the LSTM. It is trained first, against photographs (``nbsupport.training.matching``), and then kept as it is.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nbsupport.data.captions import Vocabulary


class Text(NamedTuple):
    """What a batch of captions became."""

    words: Tensor  # (B, D, L) float, zero where there is no word
    sentence: Tensor  # (B, D) float
    present: Tensor  # (B, L) bool, True = a word, False = padding


class TextEncoder(nn.Module):
    """Word embedding, then a GRU in both directions; half of the `channels` come from each direction.

    Args:
        vocabulary_size: V; token 0 is padding.
        word_channels: width of the embedding.
        channels: D, width of word and sentence features; even.
        recurrent: ``gru`` (the paper) or ``lstm`` (AttnGAN and the released code).
    """

    def __init__(
        self, vocabulary_size: int, word_channels: int = 128, channels: int = 256, recurrent: str = "gru"
    ) -> None:
        super().__init__()
        self.channels = channels
        self.embedding = nn.Embedding(vocabulary_size, word_channels, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.5)
        with torch.no_grad():
            self.embedding.weight[0] = 0
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[recurrent]
        self.recurrent = kind(word_channels, channels // 2, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Text:
        """Encode captions.

        Args:
            tokens: (B, L) int64 in [0, V), padded with 0.
            lengths: (B,) int64 in [1, L], the number of words before the padding.

        Returns:
            Text of float32 features in [-1, 1] (a GRU's output is bounded): words (B, D, L), sentence (B, D), the last
            state of both directions, and present (B, L) bool.
        """
        with torch.autocast(tokens.device.type, enabled=False):  # small and recurrent: half precision gains nothing
            packed = pack_padded_sequence(self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self.recurrent(packed)
            last = last[0] if isinstance(last, tuple) else last  # an LSTM's last state comes with its memory cells
            words, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
        present = torch.arange(tokens.shape[1], device=tokens.device) < lengths.to(tokens.device)[:, None]
        return Text(words.transpose(1, 2), torch.cat([last[0], last[1]], dim=1), present)


def words_of(learnt: Tensor, known: Vocabulary, own: Tensor, vocabulary: Vocabulary) -> Tensor:
    """An embedding (V, C) for `vocabulary`: rows of `learnt` for the words of `known`, of `own` for all others."""
    place = {word: number for number, word in enumerate(known.words)}
    result = own.detach().clone()
    for number, word in enumerate(vocabulary.words):
        if word in place:
            result[number] = learnt[place[word]]
    return result
