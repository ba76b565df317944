"""The gateway for HJ 212 stations: they connect by TCP and push; data are acknowledged once they are committed."""
