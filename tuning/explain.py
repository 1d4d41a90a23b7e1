"""Which words moved an answer: each is left out, and the model is asked again."""

from typing import Any

MAX_WORDS = 400


def occlusion(model: Any, column: str, text: str, count: int = 6) -> list[tuple[str, float]]:
    """Leaves out one word after the other.

    After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    with words for patches. A word that stands twice counts by its strongest place.

    Args:
        model: A loaded MLflow model of one text column with one column of probabilities.
        column: Name of the text column.
        text: The input; its last ``MAX_WORDS`` words are looked at.
        count: So many words are returned.

    Returns:
        Words and by how much they raise the probability (negative: lower it), the strongest first;
        empty if the model answers without a number or the text has one word.
    """
    import pandas as pd

    words = text.split()
    if len(words) < 2:
        return []
    places = range(max(0, len(words) - MAX_WORDS), len(words))
    without = [" ".join([*words[:place], *words[place + 1 :]]) for place in places]
    if len(words) == 2:
        # What is left may be no text to the model, such as the number in "Loved 10".
        without = [rest if _is_answered(model, column, rest) else text for rest in without]
    answers = model.predict(pd.DataFrame({column: [text, *without]}))
    numbers = answers.select_dtypes("number")
    if numbers.shape[1] == 0:
        return []
    probability = numbers.iloc[:, 0].to_numpy()
    found: dict[str, float] = {}
    for place, left in zip(places, probability[1:], strict=True):
        word = words[place].strip(".,;:!?\"'()").lower()
        change = float(probability[0] - left)
        if word and abs(change) > abs(found.get(word, 0.0)):
            found[word] = change
    return sorted(found.items(), key=lambda item: -abs(item[1]))[:count]


def _is_answered(model: Any, column: str, text: str) -> bool:
    import pandas as pd
    from mlflow.exceptions import MlflowException

    try:
        model.predict(pd.DataFrame({column: [text]}))
    except MlflowException:
        return False
    return True
