"""The decisions about a version: who or what decided, when, on which rows, and why.

Every decision has a number and a tag of its own on the version, so a later one overwrites nothing.
Their order is that of their numbers; a clock that jumps does not change it.
"""

import getpass
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

HEAD = "## Decisions"
MAX_DESCRIPTION = 5_000  # MLflow's limit, in characters
_MAX_DECISIONS = 2_000  # of them for the decisions


def user_name() -> str:
    """Returns the name of the user; containers often run under an id without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


@dataclass(frozen=True)
class RegistryDecision:
    """A decision about a version.

    Attributes:
        what: What was decided, such as ``passed the gate`` or ``refused``, or what followed, such
            as ``replaced`` or ``rolled back``.
        at: Time, as text in UTC.
        by: Name of the user or the job that decided.
        why: Reasons, or a summary of the facts.
        rows: Digest of the judged test rows, and the number of the look at them.
        limits: Limits of the gate with what was measured.
        changed: What changed since the champion that was replaced.
    """

    what: str
    at: str
    by: str
    why: str = ""
    rows: str = ""
    limits: str = ""
    changed: str = ""

    @property
    def lines(self) -> list[str]:
        """The decision as lines of text: what was decided, and the details."""
        lines = [
            f"{self.at}: {self.what} by {self.by}",
            self.why,
            f"test rows {self.rows}" if self.rows else "",
            f"limits: {self.limits}" if self.limits else "",
            f"changed since the champion before: {self.changed}" if self.changed else "",
        ]
        return [line for line in lines if line]

    @property
    def text(self) -> str:
        """The decision as one line of text."""
        return "; ".join(self.lines)


def now() -> str:
    """Returns the present time as text, for decisions."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}"


def read_decisions(tags: Mapping[str, str]) -> list[RegistryDecision]:
    """Returns the decisions in the tags of a version, in their order."""
    decisions = []
    for _, value in sorted(_numbered(tags).items()):
        facts = json.loads(value)
        known = {name: str(facts.get(name, "")) for name in RegistryDecision.__dataclass_fields__}
        decisions.append(RegistryDecision(**known))
    return decisions


def _numbered(tags: Mapping[str, str]) -> dict[int, str]:
    """Returns the decisions in the tags of a version as they are stored, by number."""
    numbers = {
        key: key.removeprefix(keys.DECISION) for key in tags if key.startswith(keys.DECISION)
    }
    return {int(number): tags[key] for key, number in numbers.items() if number.isdigit()}


def add_decision(
    client: "MlflowClient", name: str, version: Any, decision: RegistryDecision
) -> str:
    """Adds a decision to a version and to its description, the model card.

    Returns:
        The number of the decision, with leading zeros.
    """
    present = client.get_model_version(name, str(version.version))
    number = f"{max(_numbered(present.tags), default=0) + 1:03}"
    tag = f"{keys.DECISION}{number}"
    client.set_model_version_tag(
        name, str(version.version), tag, json.dumps(asdict(decision), ensure_ascii=False)
    )
    decisions = [*read_decisions(present.tags), decision]
    card = with_decisions(present.description or "", decisions)
    client.update_model_version(name, str(version.version), card)
    return number


def with_decisions(card: str, decisions: list[RegistryDecision]) -> str:
    """Returns a model card that ends with the decisions; the newest ones, if not all fit."""
    lines: list[str] = []
    for decision in reversed(decisions):
        line = f"- {decision.text}"
        if sum(map(len, lines)) + len(line) > _MAX_DECISIONS and lines:
            break
        lines.insert(0, line[:_MAX_DECISIONS])
    section = f"{HEAD}\n\n" + "\n".join(lines) + "\n"
    body = re.split(f"^{HEAD}$", card, maxsplit=1, flags=re.MULTILINE)[0].rstrip()
    return f"{body[: MAX_DESCRIPTION - len(section) - 2]}\n\n{section}".lstrip()
