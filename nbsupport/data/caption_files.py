"""Caption files as they are met in the wild, turned into clean sentences.

Three formats: a dictionary ``{"breed_12.jpg": [" phrase", …]}`` in JSON, whose phrases are fragments; COCO captions in
JSON, which are whole sentences; and a table (parquet or CSV) with a ``prompt`` column of lines ``Caption: …`` and
``Attributes: a, b, c.``. None is trusted to belong to the photographs beside it: it is used only when named, and what
did not match is said.
Not here: captions that are measured; see ``compose``.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from nbsupport.core.errors import UserError
from nbsupport.data.texts import caption_table, read_json

_BODY = {
    "body", "coat", "fur", "hair", "ear", "ears", "eye", "eyes", "tail", "leg", "legs", "face", "nose", "paw", "paws",
    "claws", "belly", "muzzle", "whiskers", "head", "chest", "neck", "markings", "stripes", "spots", "feet", "mane",
    "snout", "back", "collar", "patches", "tufts", "wings", "beak", "feathers", "chin", "cheeks", "jaw", "tongue",
}  # fmt: skip
_SINGULAR = {"body", "coat", "tail", "face", "nose", "belly", "muzzle", "head", "chest", "neck", "mane", "snout",
             "collar", "back", "beak", "chin", "jaw", "tongue"}  # fmt: skip
_DANGLING = {"a", "an", "the", "and", "or", "with", "of", "in", "on", "for", "to", "at", "from"}
_FILE_COLUMNS = ("file_name", "filename", "image", "image_path", "path", "image_id")


def clean_phrases(phrases: Iterable[str]) -> list[str]:
    """Fragments turned into noun phrases about an animal; doubles, stubs and what names no part of one are dropped.

    >>> clean_phrases([" a round", " reddish-brown fur", " reddish-brown fur.", " long", " and short legs"])
    ['reddish-brown fur', 'short legs']
    """
    found: dict[str, None] = {}
    for phrase in phrases:
        words = re.sub(r"\s+", " ", str(phrase)).strip(" .;,:\"'").lower().split(" ")
        while words and words[0] in {"and", "or", "with"}:
            words = words[1:]
        while words and words[-1] in _DANGLING:
            words = words[:-1]
        plain = {re.sub(r"[^a-z]", "", word) for word in words}
        if len(words) < 2 or not plain & _BODY:
            continue
        if words[-1] in _SINGULAR and words[0] not in {"a", "an", "the", "its", "no"}:
            words = ["an" if words[0][0] in "aeiou" else "a", *words]
        found[" ".join(words)] = None
    return list(found)


def phrases_to_sentences(phrases: Iterable[str], subject: str, most: int = 10) -> tuple[str, ...]:
    """Sentences of one or two phrases each, ``a cat with reddish-brown fur and short legs.``; () if none is usable."""
    clean = clean_phrases(phrases)
    article = "an" if subject[0] in "aeiou" else "a"
    pairs = [clean[i : i + 2] for i in range(0, len(clean), 2)]
    return tuple(f"{article} {subject} with {' and '.join(pair)}." for pair in pairs[:most])


def prompt_to_sentences(prompt: str, subject: str) -> tuple[str, ...]:
    """Clean sentences from one prompt: its ``Caption:`` lines, and its ``Attributes:`` as phrases."""
    found: list[str] = []
    for line in str(prompt).splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "caption" and len(value.split()) > 1:
            found.append(re.sub(r"\s+", " ", value).strip(" .").lower() + ".")
        elif name.strip().lower() == "attributes":
            found.extend(phrases_to_sentences(value.split(","), subject))
    return tuple(dict.fromkeys(found))


def read_prompts(path: Path) -> pd.DataFrame:
    """Read a table of prompts and clean it: columns ``file`` (lower-case name or None), ``label``, ``sentences``.

    Raises:
        UserError: the file cannot be read or has no ``prompt`` column.
    """
    path = Path(path)
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"There is no caption file '{path}'.") from None
    except Exception as error:  # pandas and pyarrow raise what they like
        raise UserError(f"The caption table '{path}' cannot be read: {error}") from error
    if "prompt" not in table.columns:
        raise UserError(f"The caption table '{path}' has no column 'prompt' (it has: {', '.join(table.columns)}).")
    files = next((table[name] for name in _FILE_COLUMNS if name in table.columns), None)
    labels = table["true_label"].astype(str) if "true_label" in table.columns else pd.Series([""] * len(table))
    subjects = labels.str.replace("_", " ").str.lower().replace("", "animal")
    rows = zip(table["prompt"], subjects, strict=True)
    return pd.DataFrame(
        {
            "file": None if files is None else [_key(_file_name(value)) for value in files],
            "label": labels.to_numpy(),
            "sentences": [prompt_to_sentences(prompt, subject) for prompt, subject in rows],
        }
    )


def _file_name(value: object) -> str:
    """Some tables hold a picture as ``{"bytes": …, "path": …}``; an empty cell names no file."""
    value = value.get("path") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def _key(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem.lower()


def read(path: Path, subject_of: dict[str, str]) -> tuple[dict[str, tuple[str, ...]], str]:
    """Read a caption file of either format for the photographs whose lower-case stems are the keys of `subject_of`.

    Returns:
        stem -> sentences, for the photographs that have usable ones; and a sentence that says how many matched.

    Raises:
        UserError: not readable, of neither format, without file names to join by, or matching no photograph.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        if not path.is_file():
            raise UserError(f"There is no caption file '{path}'.")
        content = read_json(path)
        table = caption_table(content, path)
        if not all(isinstance(value, list) for value in table.values()):
            raise UserError(f"The caption file '{path}' must be a dictionary: file name -> list of phrases.")
        entries, whole = {_key(name): value for name, value in table.items()}, table.keys() != content.keys()
        sentences = {
            key: tuple(dict.fromkeys(entries[key])) if whole else phrases_to_sentences(entries[key], subject)
            for key, subject in subject_of.items()
            if key in entries
        }
        count = len(entries)
    elif path.suffix.lower() in (".parquet", ".csv"):
        table = read_prompts(path)
        if not any(table["file"]):
            raise UserError(
                f"The caption table '{path}' does not say which photograph a row belongs to, and rows are not guessed. "
                f"Add a column of file names, called one of: {', '.join(_FILE_COLUMNS)}."
            )
        grouped: dict[str, tuple[str, ...]] = {}
        for key, found in zip(table["file"], table["sentences"], strict=True):
            grouped[key] = grouped.get(key, ()) + found
        sentences = {key: tuple(dict.fromkeys(grouped[key])) for key in subject_of if key in grouped}
        count = len(grouped)
    else:
        raise UserError(f"The caption file '{path}' is of no known format: .json, .parquet or .csv.")
    if not sentences:
        raise UserError(f"None of the {count:,} entries of '{path}' is named like a photograph of this set.")
    usable = {key: found for key, found in sentences.items() if found}
    report = (
        f"{count:,} entries in {path.name}: {len(sentences):,} are named like a photograph, {len(usable):,} of them "
        f"have usable phrases; {len(subject_of) - len(usable):,} photographs get measured captions."
    )
    if len(sentences) < 0.5 * min(count, len(subject_of)):
        report += (
            " WARNING: so few match that they may do so by chance: keys like <breed>_<number> can count the rows of "
            "another copy of the set. Use this file only if you know that its keys are file names of these photographs."
        )
    return usable, report
