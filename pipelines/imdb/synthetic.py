"""Generated film reviews, for machines on which the real reviews are not available.

With them a whole study takes only minutes. The task behaves like the real one: the order of the
words matters, labels are noisy, and a better model than the baseline exists. Results on generated
reviews say nothing about real reviews.

Measurements with the constants below (Keras on JAX, one CPU core). The baseline is
``Embedding(num_words, 32)``, ``LSTM(32)``, ``Dense(1)``, Adam 1e-3, batches of 64, and the best
epoch of 5 by validation:

- baseline, test accuracy for 5 training seeds: 85.6, 86.2, 87.1, 87.3 and 87.6%; with three other
  seeds of the data: 84.0, 85.7 and 86.3%;
- logistic regression on TF-IDF of single words: 63.4% (62.7 to 63.9% with other data);
- a bidirectional LSTM of 64 units with dropout: 90.5%; the label noise allows at most 91%;
- time per epoch of the baseline: 0.5 to 0.7 s; 3 s for the first epoch, with compilation.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.imdb.sources import Reviews

TRAIN_ROWS = 10_000
TEST_ROWS = 4_000
SEED = 2011
# Nearly every review fits. A longer review loses its beginning, as a long real review does.
MAX_LEN = 48
LABEL_NOISE = 0.09

# Each of these three shares makes a bag of words less informative: opinion words in a negation, in
# the minor clause of a contrast, and in the opinion of somebody else.
NEGATED_SHARE = 0.2
CONTRAST_SHARE = 0.4
ASIDE_SHARE = 0.15
# Share of reviews with a second opinion sentence, and share with a second neutral sentence.
SECOND_SENTENCE_SHARE = 0.4


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(","))


_PRAISE = _listed(
    """
    good, great, wonderful, brilliant, moving, funny, charming, clever, gripping,
    superb, excellent, warm, fresh, memorable, honest, exciting, delightful, impressive,
    thoughtful, elegant, touching, beautiful, convincing, inspired, witty, tender,
    stunning, absorbing, powerful, graceful, satisfying, sharp, subtle, lively,
    original, terrific, rewarding, magical, haunting, masterful
    """
)
_BLAME = _listed(
    """
    bad, awful, boring, dull, stupid, weak, terrible, silly, tedious, clumsy, poor,
    flat, predictable, messy, annoying, ridiculous, lazy, pointless, empty, horrible,
    wooden, cheap, confusing, shallow, forced, lifeless, bland, hollow, tiresome,
    painful, sloppy, pretentious, dreadful, stale, unfunny, laughable, incoherent,
    forgettable, irritating, mediocre
    """
)
_ASPECTS = _listed(
    """
    acting, story, plot, script, music, ending, dialogue, camera work, direction, cast,
    humour, pace, editing, opening, first half, second half, lead, villain, romance,
    score, photography, final scene
    """
)
_WHOLES = _listed(
    """
    film, movie, picture, whole thing, film as a whole, end result, whole experience
    """
)
_DEGREES = ("", "", "", "", *_listed("very, really, quite, so, rather, truly, simply, utterly"))
_FIRST_NAMES = _listed(
    """
    anna, james, maria, peter, sofia, david, laura, thomas, emma, robert, julia, frank,
    helen, george, nina, walter, clara, martin, alice, henry, rosa, victor, irene,
    oscar, edith, simon, paula, hugo, vera, leon
    """
)
_SURNAMES = _listed(
    """
    miller, hayes, novak, brennan, castle, moreau, lindgren, ortega, walsh, fischer,
    ferris, kovacs, doyle, bennett, rossi, hartley, quinn, sandoval, mercer, lang,
    abbott, keller, drake, whitlock, nash
    """
)
_JOBS = _listed(
    """
    detective, teacher, young doctor, retired soldier, writer, thief, lawyer, farmer,
    nurse, reporter, pilot, widow, student, chef, painter, sailor, priest, boxer
    """
)
_PLACES = _listed(
    """
    New York, a small town, Paris, the coast, London, a quiet village, Chicago, the
    desert, Berlin, an old hotel, Tokyo, the mountains, a distant island, Texas
    """
)
_DEEDS = _listed(
    """
    returns home after the war, looks for a missing brother, falls in love with a
    stranger, takes one last job, finds an old letter, has to hide from the police,
    inherits a house, meets a man from the past, crosses the country by train, plans a
    robbery, moves in next door, tries to save the family farm, wakes up without a
    memory, opens a restaurant
    """
)
_FILLERS = (
    "I saw it {when}",
    "{name} plays a {job} from {place}",
    "the story follows a {job} who {deed}",
    "it is set in {place}",
    "{name} directed it",
    "{name} {deed}",
    "my {relative} rented it {when}",
    "it runs for about two hours",
    "it is based on a novel by {name}",
    "the cast includes {name} and {other}",
    "we watched it {when} with my {relative}",
    "{name} also appears as a {job}",
)
_TIMES = _listed(
    """
    last night, on television, at a festival, years ago, on a rainy sunday, in the
    cinema, on a long flight, yesterday, twice
    """
)
_RELATIVES = _listed(
    """
    brother, sister, wife, husband, mother, father, neighbour, friend, daughter, son
    """
)

_PLAIN = (
    "the {part} is {degree} {word}",
    "the {part} is {degree} {word}",
    "I found the {part} {degree} {word}",
    "the {part} was {degree} {word} from start to finish",
    "{name} is {degree} {word}",
    "the {part} turned out to be {degree} {word}",
    "I would call the {part} {word}",
)
_NEGATED = (
    "the {part} is not {degree} {word}",
    "the {part} is not {word} at all",
    "the {part} is never {word}",
    "the {part} is hardly {word}",
    "I did not find the {part} {degree} {word}",
    "the {part} is far from {word}",
    "nobody could call the {part} {word}",
    "there is nothing {word} about the {part}",
    "the {part} is anything but {word}",
    "I can not say that the {part} was {degree} {word}",
)
# The clause after "but", "yet" or "however" decides, and so does the clause without "although".
_CONTRASTS = (
    "{minor}, but {major}",
    "{minor}, but {major}",
    "{minor}, and yet {major}",
    "{minor}; however, {major}",
    "although {minor}, {major}",
    "even though {minor}, {major}",
    "{major} even though {minor}",
    "{major} although {minor}",
)
_ASIDES = (
    "the critics called it {word}",
    "my {relative} thought it was {word}",
    "people kept telling me how {word} it was",
    "the poster says it is {word}",
)


def generate(rows: int, seed: int) -> tuple[list[str], list[int]]:
    """Generates reviews.

    Args:
        rows: Number of reviews.
        seed: Seed of all random choices.

    Returns:
        The reviews, and one label per review: 1 for positive, 0 for negative. Before the label
        noise, the numbers of both labels differ by at most one.
    """
    writer = _Writer(seed)
    positive = writer.random.permutation(rows) % 2 == 0
    texts = [writer.review(bool(label)) for label in positive]
    mislabelled = writer.random.random(rows) < LABEL_NOISE
    return texts, [int(label) for label in positive ^ mislabelled]


def generate_splits() -> tuple[Reviews, Reviews]:
    """Generates the training and the test reviews of the data set ``synthetic``."""
    texts, labels = generate(TRAIN_ROWS + TEST_ROWS, SEED)
    return (
        Reviews(texts[:TRAIN_ROWS], labels[:TRAIN_ROWS]),
        Reviews(texts[TRAIN_ROWS:], labels[TRAIN_ROWS:]),
    )


class _Writer:
    """Draws reviews from the templates above."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def review(self, positive: bool) -> str:
        sentences = [self._verdict(positive) for _ in range(self._one_or_two())]
        for _ in range(self._one_or_two()):
            place = int(self.random.random() * (len(sentences) + 1))
            sentences.insert(place, self._filler())
        if self._happens(ASIDE_SHARE):
            sentences.insert(0, self._aside())
        return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)

    def _verdict(self, positive: bool) -> str:
        if not self._happens(CONTRAST_SHARE):
            return self._opinion(positive, _ASPECTS + _WHOLES)
        decisive_parts = _WHOLES if self._happens(0.5) else _ASPECTS
        return self._pick(_CONTRASTS).format(
            minor=self._opinion(not positive, _ASPECTS),
            major=self._opinion(positive, decisive_parts),
        )

    def _opinion(self, positive: bool, parts: Sequence[str]) -> str:
        negated = self._happens(NEGATED_SHARE)
        sentence = self._pick(_NEGATED if negated else _PLAIN).format(
            part=self._pick(parts),
            degree=self._pick(_DEGREES),
            word=self._pick_skewed(_PRAISE if positive != negated else _BLAME),
            name=self._name(),
        )
        return sentence.replace("  ", " ")

    def _filler(self) -> str:
        return self._pick(_FILLERS).format(
            when=self._pick(_TIMES),
            name=self._name(),
            other=self._name(),
            job=self._pick(_JOBS),
            place=self._pick(_PLACES),
            deed=self._pick(_DEEDS),
            relative=self._pick(_RELATIVES),
        )

    def _aside(self) -> str:
        words = _PRAISE if self._happens(0.5) else _BLAME
        return self._pick(_ASIDES).format(word=self._pick(words), relative=self._pick(_RELATIVES))

    def _name(self) -> str:
        return f"{self._pick(_FIRST_NAMES)} {self._pick(_SURNAMES)}".title()

    def _one_or_two(self) -> int:
        return 1 + self._happens(SECOND_SENTENCE_SHARE)

    def _happens(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def _pick(self, choices: Sequence[str]) -> str:
        return choices[int(self.random.random() * len(choices))]

    def _pick_skewed(self, choices: Sequence[str]) -> str:
        """Prefers the first choices, so that some words are rare, as in any language."""
        return choices[int(self.random.random() ** 2 * len(choices))]
