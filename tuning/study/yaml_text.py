"""Reads and writes the YAML of study files, with ``1e-3`` as a number and without double keys."""

import re
from typing import Any

import yaml

# YAML 1.1 wants a dot and a sign; YAML 1.2, and people, write 1e-3.
_EXPONENT = re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$")
_FLOAT = "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """Loader that refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key!r} stands twice, in line {seen[key]} and in line {line}; "
                    "remove one of them",
                    key_node.start_mark,
                )
            seen[key] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes a text which the loader would take for a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+0123456789."))


def read_yaml(text: str) -> Any:
    """Reads a YAML text.

    Raises:
        yaml.YAMLError: The text is no YAML, or a key stands twice.
        RecursionError: The text nests too deeply.
    """
    return yaml.load(text, _Loader)


def write_yaml(data: Any) -> str:
    """Writes data as YAML, in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
