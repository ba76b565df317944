"""The sandbox regulator: the reference API that a regulator would offer, with switches to make it misbehave.

It is a program of its own: nothing of the platform is needed to run it, and all that it keeps lies in one SQLite file.
`docs/regulator-api.md` describes the API; `smartsite.regulator.server.run` starts it.
"""
