"""Says what a command is doing before a study has its progress."""

import contextlib
import json


def say_step(output: str, text: str) -> None:
    """Prints what is done now, so that nobody waits in front of an empty terminal.

    Args:
        output: Form of the output: ``auto``, ``quiet`` (nothing) or ``json`` (an event).
        text: What is done, without an end.
    """
    if output == "quiet":
        return
    line = json.dumps({"event": "message", "text": f"{text} …"}, ensure_ascii=False)
    with contextlib.suppress(OSError):  # a closed terminal does not end the study
        print(line if output == "json" else f"{text} …", flush=True)
