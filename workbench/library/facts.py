"""What is given with a dataset, checked: names, tags, attributes, lineage; and tensors made into arrays."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from workbench.errors import InvalidInputError
from workbench.names import check_name


def without_tensors(value: Any) -> Any:
    """Return a tree with arrays in place of torch tensors, so that schemas see what will be stored."""
    torch = sys.modules.get("torch")
    if torch is None:
        return value
    return _replaced(value, torch.Tensor, "")


def _replaced(value: Any, tensor: type, key: str) -> Any:
    from workbench.storage.values import as_array

    if isinstance(value, tensor):
        return as_array(value, key)
    if type(value) is dict:
        return {name: _replaced(item, tensor, f"{key}/{name}".lstrip("/")) for name, item in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_replaced(item, tensor, f"{key}/{i}") for i, item in enumerate(value))
    return value


def checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return names, tags, attributes and lineage as records hold them, or raise."""
    out = dict(facts)
    if out.get("name") is not None:
        check_name(out["name"], "Dataset name")
    if "tags" in out:
        tags = [out["tags"]] if isinstance(out["tags"], str) else out["tags"]
        out["tags"] = tuple(dict.fromkeys(check_name(tag, "Tag") for tag in tags))
    if "parents" in out:
        out["parents"] = tuple(str(getattr(parent, "id", parent)) for parent in out["parents"])
    if "attributes" in out:
        out["attributes"] = _checked_attributes(out["attributes"]) if out["attributes"] else {}
    return out


def _checked_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
            return value.item()
        raise TypeError(f"a {type(value).__name__} is no JSON value")

    try:
        checked = json.loads(json.dumps(dict(attributes), default=plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"attributes cannot be stored: {error}. Use numbers, text, lists and dicts; put arrays into the data."
        ) from error
    return dict(checked)
