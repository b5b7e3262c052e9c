"""Memory devices by name, by file or as a table: the shipped presets and every law."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from neurohw import library
from neurohw.devices.device import MemoryDevice
from neurohw.devices.laws import LAWS
from neurohw.presets import Presets

# Laws of other packages, by the entry point group `neurohw.devices`: subclasses with a tag.
_LAWS = (*LAWS, *(point.load() for point in entry_points(group="neurohw.devices")))

if TYPE_CHECKING:
    AnyDevice = MemoryDevice
else:
    AnyDevice = Union[_LAWS]  # noqa: UP007


def load(source: str | Path | Mapping[str, object]) -> MemoryDevice:
    """Device of a preset's name, a TOML file or a table; `ConfigurationError` if it has none."""
    return PRESETS.load(source)


def available() -> list[dict[str, Any]]:
    """Name, law and description of every preset."""
    devices = [load(name) for name in PRESETS.names()]
    return [
        {"name": device.name, "law": device.law, "description": device.description}
        for device in devices
    ]


PRESETS: Presets[MemoryDevice] = Presets(
    kind="device", struct=AnyDevice, folder=library.folder("mappings") / "devices"
)
