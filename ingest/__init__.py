"""Messages of devices: from MQTT to committed rows, then acknowledged."""
