"""The flagship task: an LSTM that classifies film reviews as positive or negative."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.imdb import data, model
from pipelines.imdb.behaviours import make_behaviours
from pipelines.imdb.errors import DataError
from pipelines.imdb.occlusion import occlusion
from pipelines.imdb.yardstick import linear_ngrams
from tuning.core.forms import ServedModel
from tuning.core.task import Ask, Behaviour, DataInfo, Split

if TYPE_CHECKING:
    import keras
    import numpy as np

_SERVING_CODE = Path(__file__).with_name("serving_model.py")
_EXAMPLES = (
    "A moving film with a clever script; I would gladly see it again.",
    "Two dull hours. The actors looked as bored as I was.",
)


class ImdbTask:
    """Sentiment of IMDB reviews, classified by the model of ``pipelines.imdb.model``.

    Args:
        dataset: Name of the data set (``auto``, ``imdb`` or ``synthetic``) or a path; see
            ``pipelines.imdb.locate``.
        cache_dir: Folder in which prepared arrays are kept.
        num_words: Upper bound (exclusive) of the word indexes.
        max_len: Length of the rows, in tokens.
        validation_share: Share of the official training split that becomes the validation split.
        prepared: Folder of the prepared arrays; a worker gets it from ``worker_options``.
    """

    def __init__(
        self,
        *,
        dataset: str = "auto",
        cache_dir: str = ".cache",
        num_words: int = 10_000,
        max_len: int = 200,
        validation_share: float = 0.2,
        prepared: Path | None = None,
    ) -> None:
        self._dataset = dataset
        self._cache_dir = Path(cache_dir)
        self._parameters: dict[str, Any] = {
            "num_words": num_words,
            "max_len": max_len,
            "validation_share": validation_share,
        }
        self._folder = prepared
        self._num_words = num_words
        self._max_len = max_len

    def prepare(self) -> DataInfo:
        """Finds, encodes and caches the reviews."""
        try:
            prepared = data.prepare(
                data.resolve(self._dataset), cache_dir=self._cache_dir, **self._parameters
            )
        except (TypeError, ValueError) as error:
            raise DataError(str(error)) from error
        self._folder = prepared.folder
        self._num_words, self._max_len = prepared.num_words, prepared.max_len
        has_words = data.load_vocabulary(prepared) is not None
        return DataInfo(
            label=prepared.label,
            name=prepared.name,
            source=prepared.source,
            digest=prepared.digest,
            test_digest=prepared.test_digest,
            stand_in=prepared.label == "synthetic",
            sizes=prepared.sizes,
            classes=("negative", "positive"),
            warning=_warning(prepared),
            cannot_serve="" if has_words else _NO_WORDS.format(source=prepared.source),
        )

    def worker_options(self) -> Mapping[str, object]:
        """Returns the prepared folder, the number of word indexes and the length of the rows."""
        return {
            "prepared": self._prepared(),
            "num_words": self._num_words,
            "max_len": self._max_len,
        }

    def load(self, split: Split) -> Mapping[str, "tuple[np.ndarray, np.ndarray]"]:
        """Maps the arrays into memory: rows (reviews, max_len) and labels (reviews,)."""
        return data.load_arrays(self._prepared(), split)

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        """Builds and compiles the model; ``pipelines.imdb.model`` describes the params."""
        return model.build(
            params,
            num_words=self._num_words,
            max_len=self._max_len,
            reviews=len(self.load("search")["train"][0]),
        )

    def test_lengths(self) -> "np.ndarray":
        """Returns the lengths of the test reviews in tokens, before they are truncated."""
        return data.load_test_lengths(self._prepared())

    def test_texts(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """Returns test reviews, or the words that the model sees if the texts are unknown."""
        texts = data.load_test_texts(self._prepared())
        if texts is not None:
            return {index: texts[index] for index in indexes}
        vocabulary = data.load_vocabulary(self._prepared())
        if vocabulary is None:
            return {}
        words = {index: word for word, index in vocabulary.items()}
        rows = self.load("test")["test"][0]
        return {
            index: " ".join(words.get(int(token), "…") for token in rows[index] if token > 1)
            for index in indexes
        }

    def behaviours(self) -> Sequence[Behaviour]:
        """Returns tests of negation, contrast and irrelevant changes, if the words are known."""
        vocabulary = data.load_vocabulary(self._prepared())
        return make_behaviours(vocabulary, self._max_len) if vocabulary else []

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """Returns the probabilities of a linear model of words and pairs of words."""
        rows, labels = self.load("search")["train"]
        return {
            "linear, words and pairs": linear_ngrams(rows, labels, self.load("test")["test"][0])
        }

    @staticmethod
    def explain(ask: Ask, text: str) -> Sequence[tuple[str, float]]:
        """Returns the words that changed a prediction most."""
        return occlusion(ask, text)

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Packs the model with its vocabulary, so that it can predict raw review texts."""
        vocabulary = data.load_vocabulary(self._prepared())
        if vocabulary is None:
            raise DataError(_NO_WORDS.format(source=self._dataset))
        from tuning.training.saved_model import load_model

        backend = _backend()
        text_config = {
            "backend": backend,
            "max_len": self._max_len,
            "padding_is_free": model.padding_is_free(load_model(model_file), self._max_len),
            "vocabulary": vocabulary,
        }
        config = folder / "text.json"
        config.write_text(json.dumps(text_config, ensure_ascii=False), "utf-8")
        code = folder / _SERVING_CODE.name
        shutil.copyfile(_SERVING_CODE, code)
        return ServedModel(
            code=code,
            artifacts={"keras_model": model_file, "text": config},
            inputs={"review": "string"},
            outputs={"label": "string", "probability": "double"},
            input_example={"review": _EXAMPLES},
            pip_requirements=[
                f"{name}=={version(name)}"
                for name in ("mlflow", "keras", backend, "numpy", "pandas")
            ],
            intended_use=_USE,
            limits=[
                f"It reads only the last {self._max_len} words; earlier words have no effect.",
                *_LIMITS,
            ],
        )

    def _prepared(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the data are not prepared; call prepare() first")
        return self._folder


_NO_WORDS = (
    "{source} contains only word ranks, and its word index was not found, so no model of raw text "
    "can be made; put imdb_word_index.json into the same folder"
)


_USE = (
    "To classify English film reviews as positive or negative, one at a time or many together, in "
    "applications in which an occasional wrong answer does no harm."
)
_LIMITS = (
    "It was trained on IMDB reviews with a clear opinion (at most 4 or at least 7 stars of 10, "
    "until 2011). Its answer means nothing for mixed reviews and for other kinds of text.",
    "It knows only English, and only the frequent words of these reviews.",
    "Its probabilities are not calibrated for other texts.",
    "Do not use it for decisions about people.",
    "It rejects empty texts and texts that are only a number (also nan and inf), None, True or "
    "False.",
)


def _backend() -> str:
    import keras

    name: str = keras.backend.backend()
    return name


def _warning(prepared: data.Prepared) -> str:
    if prepared.label != "synthetic":
        return ""
    text = "SYNTHETIC DATA: the reviews are generated; no result says anything about real reviews."
    if prepared.fallback_reason:
        text += f" Reason: {prepared.fallback_reason}"
    return text
