"""HJ 212, the text protocol of China's environmental monitors: HJ 212-2017 and the section cipher of HJ 212-2025.

No module here does I/O. `framing` cuts frames out of bytes, `packet` takes one apart and puts one together, `decode`
makes readings and statistics of its factors by a device's `policy`, `outgoing` makes factors of readings, `compose`
builds what either side says.
docs/protocol-hj212.md is the whole protocol as a device vendor needs it.
"""
