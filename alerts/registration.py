"""What a site and its devices must be registered with before a regulator can be told of them."""

from __future__ import annotations

from collections.abc import Mapping

from core.settings import TargetSettings
from sensors.registry import Camera, Device, Registry, Site

LABELS: Mapping[str, str] = {
    "project_code": "项目统一编码",
    "permit_number": "施工许可证号",
    "supervision_number": "安全监督登记号",
    "region_code": "行政区划代码",
    "coordinates": "经纬度",
    "builder": "建设单位统一社会信用代码",
    "contractor": "施工单位统一社会信用代码",
    "supervisor": "监理单位统一社会信用代码",
    "record_number": "设备备案号",
    "factory": "设备厂家",
}
"""What a target's `requires` may name, as the field calls it."""
_OF_DEVICE = ("record_number", "factory")
_UNITS = ("builder", "contractor", "supervisor")


def missing(
    target: TargetSettings, site: Site, registry: Registry, subject: Device | Camera | None = None
) -> list[str]:
    """What the target requires and the site, or the device if one is given, does not have; in the target's order.

    Each as `site east has no permit_number (施工许可证号)`. A camera has neither record number nor factory in the
    registry, and none is required of it.
    """
    found = []
    for name in target.requires:
        if name in _OF_DEVICE:
            if isinstance(subject, Device) and not getattr(subject, name):
                found.append(f"device {site.code}/{subject.code} has no {name} ({LABELS[name]})")
        elif not _has(name, site, registry):
            found.append(f"site {site.code} has no {name} ({LABELS[name]})")
    return found


def missing_everywhere(target: TargetSettings, registry: Registry) -> list[str]:
    """The same over all enabled sites and devices that the target is told of."""
    found: list[str] = []
    for site in registry.sites.values():
        if site.enabled and (not target.sites or site.code in target.sites):
            found += missing(target, site, registry)
            devices = (device for device in registry.devices.values() if device.site_id == site.id and device.enabled)
            for device in devices:
                found += [fault for fault in missing(target, site, registry, device) if fault.startswith("device ")]
    return found


def _has(name: str, site: Site, registry: Registry) -> bool:
    if name == "coordinates":
        return site.latitude is not None and site.longitude is not None
    if name in _UNITS:
        return any(
            part.role == name and registry.units[part.unit_id].credit_code
            for part in registry.site_units
            if part.site_id == site.id
        )
    return bool(getattr(site, name))
