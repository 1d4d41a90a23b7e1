"""The flagship task: an LSTM that tells whether a film review is positive."""

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
from tuning.core.task import Ask, Behaviour, DataInfo, Examples, ServedModel, Split

if TYPE_CHECKING:
    import keras
    import numpy as np

_SERVING_CODE = Path(__file__).with_name("serving_model.py")
_EXAMPLES = (
    "A moving film with a clever script; I would gladly see it again.",
    "Two dull hours. The actors looked as bored as I was.",
)


class ImdbTask:
    """Sentiment of IMDB reviews: Embedding, SpatialDropout1D, LSTM, one sigmoid unit.

    Args:
        dataset: ``auto``, ``imdb``, ``synthetic`` or a path; see ``pipelines.imdb.locate``.
        cache_dir: Where prepared arrays are kept.
        num_words: Upper bound (exclusive) of the word indexes.
        max_len: Length of the rows, in tokens.
        validation_share: Share of the official training split that is for validation.
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
            sizes=prepared.sizes,
            warning=_warning(prepared),
            cannot_serve="" if has_words else _NO_WORDS.format(source=prepared.source),
        )

    def worker_options(self) -> Mapping[str, object]:
        """The prepared folder, and what the data really needs of words and tokens."""
        return {
            "prepared": self._prepared(),
            "num_words": self._num_words,
            "max_len": self._max_len,
        }

    def load(self, split: Split) -> Mapping[str, Examples]:
        """Maps the arrays: rows of shape (reviews, max_len), labels of shape (reviews,)."""
        return data.load_arrays(self._prepared(), split)

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        """Builds and compiles the model; ``pipelines.imdb.model`` says of which params."""
        return model.build(
            params,
            num_words=self._num_words,
            max_len=self._max_len,
            reviews=len(self.load("search")["train"][0]),
        )

    def test_lengths(self) -> "np.ndarray":
        """The lengths of the test reviews in tokens, before they were cut."""
        return data.load_test_lengths(self._prepared())

    def test_texts(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """The test reviews, or their words as far as the model sees them."""
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
        """Negation, contrast and irrelevant changes, where the words are known."""
        vocabulary = data.load_vocabulary(self._prepared())
        return make_behaviours(vocabulary, self._max_len) if vocabulary else []

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """A linear model of words and pairs of words."""
        rows, labels = self.load("search")["train"]
        return {
            "linear, words and pairs": linear_ngrams(rows, labels, self.load("test")["test"][0])
        }

    @staticmethod
    def explain(ask: Ask, text: str) -> Sequence[tuple[str, float]]:
        """The words that moved an answer most."""
        return occlusion(ask, text)

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Packs the model with its vocabulary, so that it answers raw review text."""
        vocabulary = data.load_vocabulary(self._prepared())
        if vocabulary is None:
            raise DataError(_NO_WORDS.format(source=self._dataset))
        from tuning.training.saved_model import load_model

        backend = _backend()
        described = {
            "backend": backend,
            "max_len": self._max_len,
            "padding_is_free": model.padding_is_free(load_model(model_file), self._max_len),
            "vocabulary": vocabulary,
        }
        config = folder / "text.json"
        config.write_text(json.dumps(described, ensure_ascii=False), "utf-8")
        code = folder / _SERVING_CODE.name
        shutil.copyfile(_SERVING_CODE, code)
        return ServedModel(
            code=code,
            artifacts={"keras_model": model_file, "text": config},
            input_column="review",
            outputs={"label": "string", "probability": "double"},
            input_example=_EXAMPLES,
            pip_requirements=[
                f"{name}=={version(name)}"
                for name in ("mlflow", "keras", backend, "numpy", "pandas")
            ],
            intended_use=_USE,
            limits=[
                f"It reads the last {self._max_len} words; what stands before them has no say.",
                *_LIMITS,
            ],
        )

    def _prepared(self) -> Path:
        if self._folder is None:
            raise RuntimeError("prepare() comes first")
        return self._folder


_NO_WORDS = (
    "{source} holds word ranks only, and its word index cannot be had, so no model of raw text "
    "can be made; put imdb_word_index.json beside it"
)


_USE = (
    "To tell whether an English film review is positive or negative, one review at a time or in "
    "bulk, where a wrong answer now and then does no harm."
)
_LIMITS = (
    "It was trained on reviews of clear opinion (IMDB, 4 stars or fewer and 7 or more, until "
    "2011): of a mixed review, or of a text that is no film review, its answer means nothing.",
    "It knows English only, and of that the frequent words of these reviews.",
    "Its probability was not calibrated for other texts than these.",
    "It must not decide about people.",
    "A text that is nothing but a number (also nan and inf), None, True or False is refused.",
)


def _backend() -> str:
    import keras

    name: str = keras.backend.backend()
    return name


def _warning(prepared: data.Prepared) -> str:
    if prepared.label != "synthetic":
        return ""
    text = "SYNTHETIC DATA: generated reviews; no figure says anything about real ones."
    if prepared.fallback_reason:
        text += f" Why: {prepared.fallback_reason}"
    return text
