"""The MQTT endpoint for devices: packets, one connection, the listener.

MQTT 3.1.1 (OASIS standard, 2014-10-29) and MQTT 5.0 (OASIS standard, 2019-03-07); the section numbers in docstrings
are theirs.
It is no general broker: a device publishes to its own topics and hears its own command topic.
"""
