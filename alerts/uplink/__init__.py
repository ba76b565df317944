"""Up-links by HJ 212: what stations measured goes on to a platform that takes it over TCP.

HJ 212 has no message for a violation; what it carries is data, from which the platform judges for itself: real-time
data (2011), and minute and hour data (2051, 2061) from the roll-ups. `rows` reads them, `packets` makes packets of
them, `link` is the connection with its acknowledgements, `worker` decides what is due.
"""
