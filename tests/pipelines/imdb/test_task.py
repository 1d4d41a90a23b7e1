"""What the flagship's task says of its data."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.imdb import synthetic
from pipelines.imdb.errors import DataError
from pipelines.imdb.locate import Source
from pipelines.imdb.task import ImdbTask
from tests.pipelines.imdb.files import write_csv, write_npz


def task(folder: Path, dataset: str, **options: Any) -> ImdbTask:
    return ImdbTask(dataset=dataset, cache_dir=str(folder / "cache"), **options)


def test_where_no_reviews_can_be_had_the_stand_in_is_said_loudly_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "TRAIN_ROWS", 100)
    monkeypatch.setattr(synthetic, "TEST_ROWS", 50)
    source = Source("synthetic", None, "synthetic", "there is no network")
    monkeypatch.setattr("pipelines.imdb.task.data.resolve", lambda dataset: source)
    info = task(tmp_path, "auto").prepare()
    assert info.label == "synthetic"
    assert info.warning.startswith("SYNTHETIC DATA: ")
    assert info.warning.endswith("Reason: there is no network")
    assert not info.cannot_serve


def test_real_reviews_have_no_warning_and_ranks_alone_no_model_of_texts(tmp_path: Path) -> None:
    texts = task(tmp_path, str(write_csv(tmp_path))).prepare()
    assert (texts.warning, texts.cannot_serve) == ("", "")
    ranks = task(tmp_path, str(write_npz(tmp_path)))
    info = ranks.prepare()
    assert info.warning == ""
    assert "contains only word ranks, and its word index was not found" in info.cannot_serve
    with pytest.raises(DataError, match="no model of raw text can be made"):
        ranks.serve(tmp_path / "model.keras", tmp_path)
    words = {f"word{rank}": rank for rank in range(1, 41)}
    (tmp_path / "imdb_word_index.json").write_text(json.dumps(words))
    assert task(tmp_path, str(tmp_path / "imdb.npz")).prepare().cannot_serve == ""


def test_the_preparation_belongs_to_the_digest(tmp_path: Path) -> None:
    dataset = str(write_csv(tmp_path))
    options: list[dict[str, Any]] = [{}, {"num_words": 50}, {"max_len": 9}]
    digests = [task(tmp_path, dataset, **option).prepare().digest for option in options]
    assert len(set(digests)) == 3
    assert task(tmp_path, dataset).prepare().digest == digests[0]
