"""Behaviour tests of a sentiment model: short sentences with a known answer or a known change.

They follow Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList",
ACL 2020. The sentences come from the templates in this module.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from pipelines.imdb.text import IntArray, encode_texts
from tuning.core.task import Behaviour

_THINGS = ("film", "movie", "plot", "acting", "script", "ending", "story", "cast")
_GOOD = ("good", "great", "excellent", "wonderful", "brilliant", "beautiful")
_BAD = ("bad", "terrible", "awful", "boring", "horrible", "poor")
_NAMES = ("John", "Mary", "Robert", "Susan", "Michael", "Linda")
_OTHERS = ("David", "Karen", "James", "Helen", "Peter", "Laura")
_PLACES = ("London", "Paris", "Chicago", "Rome")
_ELSEWHERE = ("Boston", "Berlin", "Madrid", "Tokyo")


def make_behaviours(vocabulary: Mapping[str, int], max_len: int) -> list[Behaviour]:
    """Makes the tests, encoded for the models.

    Args:
        vocabulary: Index of each word.
        max_len: Length of the rows, in tokens.
    """

    def rows(texts: Sequence[str]) -> IntArray:
        return encode_texts(texts, vocabulary, max_len)

    plain_good = [f"The {thing} was {word}." for thing, word in product(_THINGS, _GOOD)]
    plain_bad = [f"The {thing} was {word}." for thing, word in product(_THINGS, _BAD)]
    names = [
        (
            f"{old} watched it in {place} and thought the {thing} was {word}.",
            old,
            new,
            place,
            elsewhere,
        )
        for (old, new), (place, elsewhere), (thing, word) in product(
            zip(_NAMES, _OTHERS, strict=True),
            zip(_PLACES, _ELSEWHERE, strict=True),
            (("plot", "great"), ("acting", "awful")),
        )
    ]
    return [
        Behaviour(
            name="praise", expects="positive", example=plain_good[0], inputs=rows(plain_good)
        ),
        Behaviour(name="blame", expects="negative", example=plain_bad[0], inputs=rows(plain_bad)),
        Behaviour(
            name="negated praise",
            expects="lower",
            example="The film was good. → The film was not good.",
            inputs=rows(plain_good),
            changed=rows([text.replace(" was ", " was not ") for text in plain_good]),
        ),
        Behaviour(
            name="negated blame",
            expects="higher",
            example="The film was bad. → The film was not bad.",
            inputs=rows(plain_bad),
            changed=rows([text.replace(" was ", " was not ") for text in plain_bad]),
        ),
        Behaviour(
            name="contrast, good in the end",
            expects="positive",
            example="The film was bad, but I loved it.",
            inputs=rows([f"{text[:-1]}, but I loved it." for text in plain_bad]),
        ),
        Behaviour(
            name="contrast, bad in the end",
            expects="negative",
            example="The film was good, but I hated it.",
            inputs=rows([f"{text[:-1]}, but I hated it." for text in plain_good]),
        ),
        Behaviour(
            name="other names and places",
            expects="same",
            example="John watched it in London … → David watched it in Boston …",
            inputs=rows([text for text, *_ in names]),
            changed=rows([text.replace(old, new).replace(a, b) for text, old, new, a, b in names]),
        ),
        Behaviour(
            name="line breaks and capitals",
            expects="same",
            example="The film was good. → THE FILM<br />WAS GOOD!!",
            inputs=rows([*plain_good, *plain_bad]),
            changed=rows(
                [
                    text.upper().replace(" WAS", "<br />WAS").replace(".", "!!")
                    for text in (*plain_good, *plain_bad)
                ]
            ),
        ),
    ]
