"""The HTTP and WebSocket face of the platform: REST, live push, access, audit; serves the web page.

Imports core, sensors and alerts; knows vision only through its tables and its local stream of frames.
"""
