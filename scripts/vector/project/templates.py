"""Values of dbt's files that need Jinja, rendered as dbt renders a profile: native types, `env_var`, four filters."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.sandbox import SandboxedEnvironment


class _Text(str):
    pass


class _Native(str):
    pass


class _Bool(_Native):
    pass


class _Number(_Native):
    pass


class Unconvertible(Exception):
    """A value that is not what its filter says."""


class _Environment(SandboxedEnvironment):
    code_generator_class = NativeCodeGenerator


_environment = _Environment(undefined=StrictUndefined)
_environment.globals = {}
_environment.filters.update(as_text=_Text, as_native=_Native, as_bool=_Bool, as_number=_Number)


def render(value: str, env_var: Callable[..., Any]) -> Any:
    """The text, rendered with this function. Raises Unconvertible, what the function raises, and what Jinja raises."""
    template = _environment.from_string(value)
    return _joined(template.root_render_func(template.new_context({"env_var": env_var})))


def _joined(nodes: Iterable[Any]) -> Any:
    parts = list(nodes)
    if len(parts) != 1:
        return "".join(map(str, parts))
    (part,) = parts
    if isinstance(part, StrictUndefined):
        str(part)  # raises, naming what is undefined
    if isinstance(part, _Text):
        return str(part)
    if not isinstance(part, _Native):
        return part
    try:
        native = literal_eval(part)
    except (ValueError, SyntaxError, MemoryError):
        native = str(part)
    if isinstance(part, _Bool) and not isinstance(native, bool):
        raise Unconvertible("bool: as_bool takes True or False")
    if isinstance(part, _Number) and (isinstance(native, bool) or not isinstance(native, (int, float))):
        raise Unconvertible("number")
    return native
