"""The readers of raw reviews: Stanford's archive and folder, and a CSV."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.imdb import sources
from pipelines.imdb.errors import DataError
from pipelines.imdb.sources import read_archive, read_csv, read_folder

Write = Callable[..., Path]
Texts = dict[str, str]


def csv_rows(count: int) -> list[tuple[str, str]]:
    return [
        (f'Review "{number}", a film', "positive" if number % 2 else "negative")
        for number in range(count)
    ]


def test_archive_and_folder_give_the_same(write_archive: Write, write_folder: Write) -> None:
    assert read_archive(write_archive()) == read_folder(write_folder())


def test_archive_gives_texts_with_their_labels(write_archive: Write) -> None:
    train, test = read_archive(write_archive())
    assert len(train.texts) == len(test.texts) == 10
    for reviews, split in ((train, "train"), (test, "test")):
        for text, label in zip(reviews.texts, reviews.labels, strict=True):
            assert ("fine" in text) == (label == 1)
            assert f"Seen in {split}" in text


def test_order_in_the_archive_does_not_matter(
    write_archive: Write, reviews_by_path: Texts
) -> None:
    first = read_archive(write_archive())
    assert read_archive(write_archive(dict(reversed(reviews_by_path.items())))) == first


@pytest.mark.parametrize(
    "name",
    [
        "aclImdb/train/unsup/0_0.txt",
        "aclImdb/train/pos/readme.txt",
        "aclImdb/train/pos/../../../1_9.txt",
        "/aclImdb/train/pos/77_9.txt",
        "other/train/pos/77_9.txt",
    ],
)
def test_archive_ignores_members_outside_the_layout(
    write_archive: Write, reviews_by_path: Texts, name: str
) -> None:
    expected = read_archive(write_archive())
    assert read_archive(write_archive(reviews_by_path | {name: "intruder"})) == expected


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_archive_ignores_links_and_devices(write_archive: Write, kind: bytes) -> None:
    link = tarfile.TarInfo("aclImdb/train/pos/77_9.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    expected = read_archive(write_archive())
    assert read_archive(write_archive(extra=[link])) == expected


def test_folder_does_not_follow_links(write_folder: Write, tmp_path: Path) -> None:
    folder = write_folder()
    expected = read_folder(folder)
    secret = tmp_path / "77_9.txt"
    secret.write_text("secret")
    (folder / "train" / "pos" / "77_9.txt").symlink_to(secret)
    assert read_folder(folder) == expected


def test_folder_does_not_follow_linked_folders(write_folder: Write, tmp_path: Path) -> None:
    folder = write_folder()
    (folder / "train" / "pos").rename(tmp_path / "elsewhere")
    (folder / "train" / "pos").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="train/pos"):
        read_folder(folder)


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_a_missing_class_is_named(
    write_archive: Write, write_folder: Write, reviews_by_path: Texts, form: str
) -> None:
    reviews = {name: text for name, text in reviews_by_path.items() if "test/neg" not in name}
    with pytest.raises(DataError, match=r"aclImdb.* holds no reviews in test/neg"):
        if form == "archive":
            read_archive(write_archive(reviews))
        else:
            read_folder(write_folder(reviews))


def test_archive_without_reviews_is_refused(write_archive: Write) -> None:
    with pytest.raises(DataError, match=r"aclImdb_v1\.tar\.gz holds no reviews"):
        read_archive(write_archive({"something/else.txt": "text"}))


def test_text_that_is_not_utf8_is_kept_as_far_as_possible(
    write_archive: Write, reviews_by_path: Texts
) -> None:
    name = "aclImdb/train/neg/77_1.txt"
    train, _ = read_archive(write_archive(reviews_by_path | {name: b"caf\xe9 noir"}))
    assert "caf\N{REPLACEMENT CHARACTER} noir" in train.texts


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_an_oversized_review_is_refused(
    write_archive: Write, write_folder: Write, reviews_by_path: Texts, form: str
) -> None:
    name = "aclImdb/train/neg/77_1.txt"
    largest = reviews_by_path | {name: "x" * sources.MAX_REVIEW_BYTES}
    larger = reviews_by_path | {name: "x" * (sources.MAX_REVIEW_BYTES + 1)}
    read, write = (
        (read_archive, write_archive) if form == "archive" else (read_folder, write_folder)
    )
    assert len(read(write(largest))[0].texts) == 11
    with pytest.raises(DataError, match=r"train/neg/77_1\.txt has 1,048,577 bytes"):
        read(write(larger))


def test_a_tar_bomb_is_refused(
    write_archive: Write, reviews_by_path: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(reviews_by_path | {"padding": "x" * 2_000_000})
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        read_archive(path)


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text"), None])
def test_a_damaged_archive_is_refused(write_archive: Write, content: bytes | None) -> None:
    path = write_archive()
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    with pytest.raises(DataError, match=r"aclImdb_v1\.tar\.gz is damaged"):
        read_archive(path)


def test_csv_halves_are_disjoint_balanced_and_reproducible(write_csv: Write) -> None:
    path = write_csv(csv_rows(40))
    train, test = read_csv(path)
    assert sum(train.labels) == sum(test.labels) == 10
    assert sorted(train.texts + test.texts) == sorted(text for text, _ in csv_rows(40))
    assert read_csv(path) == (train, test)
    for text, label in zip(train.texts, train.labels, strict=True):
        assert int(text.split('"')[1]) % 2 == label


def test_csv_halves_do_not_follow_the_order_of_rows(write_csv: Write) -> None:
    train, _ = read_csv(write_csv(csv_rows(40)))
    assert set(train.texts) != {text for text, _ in csv_rows(20)}


@pytest.mark.parametrize(
    ("positive", "negative"), [("positive", "negative"), ("1", "0"), ("pos", "neg"), ("POS", "0 ")]
)
def test_csv_labels_may_be_written_in_several_ways(
    write_csv: Write, positive: str, negative: str
) -> None:
    train, test = read_csv(write_csv([("good", positive), ("bad", negative)] * 2))
    assert sorted(zip(train.texts, train.labels, strict=True)) == [("bad", 0), ("good", 1)]
    assert sorted(zip(test.texts, test.labels, strict=True)) == [("bad", 0), ("good", 1)]


def test_csv_columns_may_stand_anywhere(write_csv: Write) -> None:
    rows = [("0", "positive", "good"), ("1", "negative", "bad")] * 2
    train, _ = read_csv(write_csv(rows, header=("id", "sentiment", "review")))
    assert sorted(train.texts) == ["bad", "good"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("fine", "positive"), ("so so", "neutral")], "row 2: unknown sentiment 'neutral'"),
        ([("fine", "")], "row 1: unknown sentiment ''"),
        ([("fine",)], "row 1: unknown sentiment None"),
        ([("", "positive")], "row 1: the review is not a text: ''"),
        ([("fine", "positive"), ("12.5", "negative")], "row 2: the review is not a text: '12.5'"),
        ([("a", "film", "positive")], "row 1: more fields than columns"),
        ([], "has no rows"),
        ([("fine", "positive")] * 4, "at least two negative reviews; found 0"),
    ],
)
def test_csv_rows_that_are_no_reviews_are_named(
    write_csv: Write, rows: list[tuple[str, ...]], message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_csv(write_csv(rows))
    assert "reviews.csv" in str(refused.value)


def test_a_long_wrong_value_is_quoted_in_part(write_csv: Write) -> None:
    with pytest.raises(DataError, match="unknown sentiment 'long") as refused:
        read_csv(write_csv([("fine", "long" * 10_000)]))
    assert len(str(refused.value)) < 1_000


def test_csv_without_the_columns_is_refused(write_csv: Write) -> None:
    with pytest.raises(DataError, match="lacks the column 'sentiment'; its columns are 'review'"):
        read_csv(write_csv([("fine", "1")], header=("review", "label")))


def test_empty_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("")
    with pytest.raises(DataError, match=r"reviews\.csv is empty"):
        read_csv(path)
