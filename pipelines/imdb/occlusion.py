"""Which words moved an answer: each is left out, and the model is asked again."""

from tuning.core.task import Ask

MAX_WORDS = 400


def occlusion(ask: Ask, text: str, count: int = 6) -> list[tuple[str, float]]:
    """Leaves out one word after the other.

    After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    with words for patches. A word that stands twice counts by its strongest place.

    Args:
        ask: Answers texts, one row per text, with one column of probabilities.
        text: The input; only its last ``MAX_WORDS`` words are looked at.
        count: The number of words to return.

    Returns:
        Words and by how much they raise the probability (negative: lower it), the strongest first;
        empty if the model answers without a number or the text has one word.
    """
    words = text.split()
    if len(words) < 2:
        return []
    places = range(max(0, len(words) - MAX_WORDS), len(words))
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in places]
    if len(words) == 2:
        # What is left may be no text to the model, such as the number in "Loved 10".
        without = [rest if _is_answered(ask, rest) else text for rest in without]
    numbers = ask([text, *without]).select_dtypes("number")
    if numbers.shape[1] == 0:
        return []
    probability = numbers.iloc[:, 0].to_numpy()
    changes: dict[str, float] = {}
    for place, rest in zip(places, probability[1:], strict=True):
        word = words[place].strip(".,;:!?\"'()").lower()
        change = float(probability[0] - rest)
        if word and abs(change) > abs(changes.get(word, 0.0)):
            changes[word] = change
    return sorted(changes.items(), key=lambda item: -abs(item[1]))[:count]


def _is_answered(ask: Ask, text: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        ask([text])
    except MlflowException:
        return False
    return True
