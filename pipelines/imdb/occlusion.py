"""Explains a prediction: each word is left out, and the model predicts the text again."""

from tuning.core.task import Ask

MAX_WORDS = 400


def occlusion(ask: Ask, text: str, count: int = 6) -> list[tuple[str, float]]:
    """Measures how much each word of a text changes the predicted probability.

    The method is that of Zeiler and Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014, with words instead of patches. If a word occurs more than once, its
    largest change counts.

    Args:
        ask: Function that predicts texts. It returns one row per text; the first numeric column
            is the probability.
        text: Text to explain. Only its last ``MAX_WORDS`` words are left out in turn.
        count: Maximum number of words to return.

    Returns:
        Words with the amount by which they raise the probability (negative: lower it), largest
        amounts first. Empty if the prediction has no number or the text has fewer than two words.
    """
    words = text.split()
    if len(words) < 2:
        return []
    places = range(max(0, len(words) - MAX_WORDS), len(words))
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in places]
    if len(words) == 2:
        # The remaining word may not be a text for the model, such as the number in "Loved 10".
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
