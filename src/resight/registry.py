"""Components that a recipe names: each is one file, and its constructor is its schema.

A component is a class or function under ``@registry.register("name")``. Its keyword-only parameters, with
their types, defaults and ``Annotated[..., Field(...)]`` ranges, are what a recipe may set; pydantic checks
them before anything is built. Modules of the registry's package are imported at the first look-up, so a new
component needs only a file.
"""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Generic, TypeVar

import pydantic

from resight.errors import UserError, did_you_mean

T = TypeVar("T")


class Settings(pydantic.BaseModel):
    """Base of every typed settings object: unknown keys are errors, values cannot change."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Registry(Generic[T]):
    """The components of one kind, by name.

    Args:
        kind: what messages call them, such as ``model`` or ``term``.
        package: dotted name of the package whose modules register components.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._components: dict[str, Callable[..., T]] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorate a component with the name that recipes use for it."""

        def decorate(component: Any) -> Any:
            if self._components.setdefault(name, component) is not component:
                raise ValueError(f"two components are registered as {self.kind} '{name}'")
            return component

        return decorate

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._discover()
        return sorted(self._components)

    def get(self, name: str) -> Callable[..., T]:
        """Return the component with that name.

        Raises:
            UserError: no component has that name; the message suggests the nearest one.
        """
        self._discover()
        if name not in self._components:
            raise UserError(f"Unknown {self.kind} '{name}'.{did_you_mean(name, self._components)}")
        return self._components[name]

    def settings(self, name: str) -> type[Settings]:
        """Return the pydantic class of the component's keyword-only parameters."""
        return _settings_of(self.get(name), f"{self.kind} {name}")

    def build(self, name: str, /, *args: Any, **settings: Any) -> T:
        """Construct the component from positional arguments and settings, which are validated."""
        checked = self.settings(name)(**settings)
        return self.get(name)(*args, **{key: getattr(checked, key) for key in type(checked).model_fields})

    def defaults(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings of the component as plain data, defaults filled in."""
        return self.settings(name)(**settings).model_dump(mode="json")

    def complete(self, value: object) -> dict[str, Any]:
        """Check a component that another one names, and return its name and all its settings.

        Args:
            value: the name alone, or a mapping such as ``{name: resnet, depth: 18}``.

        Raises:
            ValueError: it is neither, or there is no such component, or a setting is wrong.
        """
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise ValueError(
                f"Input should be a name or a mapping such as {{name: {self.names()[0]}}}; got {value!r}."
            )
        name, settings = value["name"], {key: item for key, item in value.items() if key != "name"}
        if name not in self.names():
            raise ValueError(f"Unknown {self.kind} '{name}'.{did_you_mean(name, self._components)}")
        return {"name": name, **self.defaults(name, settings)}

    def make(self, value: object, /, *args: Any) -> T:
        """Construct a component that another one names (see ``complete``)."""
        settings = self.complete(value)
        return self.build(settings.pop("name"), *args, **settings)

    def _discover(self) -> None:
        if not self._discovered:
            self._discovered = True
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")


@cache
def _settings_of(component: Callable[..., Any], title: str) -> type[Settings]:
    target = component.__init__ if inspect.isclass(component) else component
    hints = typing.get_type_hints(target, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (hints[name], default)
    return pydantic.create_model(title, __base__=Settings, **fields)
