"""Sites, devices and cameras, made and changed one by one. Nothing is deleted: what is over is switched off."""

from api.registry import cameras, checks, devices, sites

__all__ = ["cameras", "checks", "devices", "sites"]
