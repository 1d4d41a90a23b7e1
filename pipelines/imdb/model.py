"""The flagship model: an LSTM classifier, with optional variants as hyperparameters."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.imdb.text import UNKNOWN
from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    import keras


def build(
    params: Mapping[str, Any], *, num_words: int, max_len: int, reviews: int
) -> "keras.Model":
    """Builds and compiles the model.

    Every model takes the same rows, so that all candidates are judged on the same test split and
    are served in the same way. A model with a smaller vocabulary or a shorter sequence reduces the
    rows itself.

    Args:
        params: Hyperparameters. Required: ``embedding_dim``, ``units``, ``spatial_dropout`` (of
            whole embedding dimensions), ``dropout`` (of the LSTM's inputs) and
            ``recurrent_dropout`` (of the LSTM's state). Optional: ``learning_rate`` (of Adam),
            ``learning_rate_decay`` (factor of the learning rate after each epoch; it needs the
            hyperparameter ``batch_size``), ``vocabulary_size`` (rarer words become "unknown"),
            ``sequence_length`` (only the last tokens are used), ``masking`` (of the padding),
            ``bidirectional``, ``pooling`` (``last``, ``max`` or ``mean`` of the LSTM's outputs)
            and ``output_dropout`` (before the last layer).
        num_words: Upper bound (exclusive) of the word indexes in the rows.
        max_len: Length of the rows, in tokens.
        reviews: Number of reviews in the training split.

    Returns:
        A model that maps rows of shape (reviews, max_len) to probabilities of shape (reviews, 1).

    Raises:
        BadInputError: The learning rate decays, and the batch size is not a hyperparameter.
    """
    import keras

    # With masking, the served model may pad rows to less than the full length.
    length = None if params.get("masking") else max_len
    rows = keras.layers.Input((length,), dtype="int32")
    tokens, vocabulary = _shortened(rows, params, num_words, max_len)
    x = keras.layers.Embedding(
        vocabulary, params["embedding_dim"], mask_zero=params.get("masking", False)
    )(tokens)
    if params["spatial_dropout"]:
        x = keras.layers.SpatialDropout1D(params["spatial_dropout"])(x)
    pooling = params.get("pooling", "last")
    lstm = keras.layers.LSTM(
        params["units"],
        dropout=params["dropout"],
        recurrent_dropout=params["recurrent_dropout"],
        return_sequences=pooling != "last",
    )
    x = (keras.layers.Bidirectional(lstm) if params.get("bidirectional") else lstm)(x)
    if pooling == "max":
        x = keras.layers.GlobalMaxPooling1D()(x)
    elif pooling == "mean":
        x = keras.layers.GlobalAveragePooling1D()(x)
    if params.get("output_dropout"):
        x = keras.layers.Dropout(params["output_dropout"])(x)
    model = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(
        optimizer=keras.optimizers.Adam(_learning_rate(params, reviews)),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _shortened(
    rows: Any, params: Mapping[str, Any], num_words: int, max_len: int
) -> tuple[Any, int]:
    """Returns the last tokens of the rows, and the size of their vocabulary."""
    import keras

    length = min(params.get("sequence_length", max_len), max_len)
    vocabulary = min(params.get("vocabulary_size", num_words), num_words)
    if length < max_len:
        rows = rows[:, -length:]
    if vocabulary < num_words:
        # Frequent words have low indexes.
        rows = keras.ops.where(keras.ops.less(rows, vocabulary), rows, UNKNOWN)
    return rows, vocabulary


def _learning_rate(params: Mapping[str, Any], reviews: int) -> Any:
    import keras

    rate, decay = params.get("learning_rate", 0.001), params.get("learning_rate_decay", 1.0)
    if decay == 1.0:
        return rate
    if "batch_size" not in params:
        raise BadInputError(
            "learning_rate_decay needs the batch size: declare batch_size in space or fixed, and "
            "training: {batch_size: batch_size}"
        )
    steps_per_epoch = math.ceil(reviews / int(params["batch_size"]))
    return keras.optimizers.schedules.ExponentialDecay(
        rate, decay_steps=steps_per_epoch, decay_rate=decay, staircase=True
    )


def padding_is_free(model: "keras.Model", max_len: int) -> bool:
    """Returns whether padding on the left changes no probability, so that rows may be shorter.

    This holds if the padding is masked and every layer applies the mask. To be sure, short random
    rows are predicted with and without padding.
    """
    import keras
    import numpy as np

    embeddings = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    if not all(layer.mask_zero for layer in embeddings):
        return False
    length = max(1, max_len // 4)
    random = np.random.default_rng(0)
    rows = random.integers(1, embeddings[0].input_dim, (8, length)).astype("int32")
    padded = np.pad(rows, ((0, 0), (max_len - length, 0)))
    with_padding, without_padding = (np.asarray(model.predict_on_batch(x)) for x in (padded, rows))
    return bool(np.allclose(with_padding, without_padding, rtol=0, atol=1e-6))
