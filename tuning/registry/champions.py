"""The line of champions of a registered model: which version was champion after which.

The alias alone decides which version is champion. The line is a tag of the registered model. A
process that is killed between the two writes leaves a line that ends with another version than
the champion; it is then read up to the champion.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.tracking import keys
from tuning.tracking.retry import or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Champions:
    """The present champion and the versions before it.

    Attributes:
        champion: Number of the version that has the alias; empty if no version has it.
        earlier: Numbers of the versions that were champion before, oldest first.
    """

    champion: str
    earlier: tuple[str, ...]

    @property
    def line(self) -> tuple[str, ...]:
        """All champions, oldest first."""
        return (*self.earlier, *filter(None, [self.champion]))


def read_champions(client: "MlflowClient", name: str) -> Champions:
    """Reads the line of champions of a registered model."""
    model = client.get_registered_model(name)
    champion = str(model.aliases.get(keys.CHAMPION, ""))
    line = tuple(filter(None, model.tags.get(keys.CHAMPIONS, "").split(",")))
    # MLflow before 3.17 keeps the alias of a version that is deleted.
    if champion and or_none(lambda: client.get_model_version(name, champion)) is None:
        return Champions("", line or (champion,))
    if not champion:
        return Champions("", line or _lost(client, name))
    if champion in line:
        last = len(line) - 1 - line[::-1].index(champion)
        return Champions(champion, line[:last])
    return Champions(champion, line or _by_tags(client, name, champion))


def write_line(client: "MlflowClient", name: str, line: tuple[str, ...]) -> None:
    """Writes the line of champions, oldest first."""
    client.set_registered_model_tag(name, keys.CHAMPIONS, ",".join(line))


def _lost(client: "MlflowClient", name: str) -> tuple[str, ...]:
    """Returns the newest version that version 0.1 promoted, if there is neither line nor alias."""
    passed = [
        int(version.version)
        for version in client.search_model_versions(f"name='{name}'")
        if version.tags.get(keys.GATE, "").startswith("passed")
        and not any(key.startswith(keys.DECISION) for key in version.tags)
    ]
    return (str(max(passed)),) if passed else ()


def _by_tags(client: "MlflowClient", name: str, champion: str) -> tuple[str, ...]:
    """Returns the line as version 0.1 kept it: each version has a tag with its predecessor."""
    versions: dict[str, Any] = {
        str(version.version): version for version in client.search_model_versions(f"name='{name}'")
    }
    line = [champion]
    while line[0] in versions:
        before = versions[line[0]].tags.get(keys.REPLACES)
        if before is None or before in line:
            break
        line.insert(0, before)
    return tuple(line[:-1])
