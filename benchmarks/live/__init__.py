"""What the control centre costs and how quick it is: live push, video wall, first paint and API, each on its own.

200 sites with a station each, 100 of them with thirty days of readings a minute old and their roll-ups, 16 cameras and
5,000 alerts, on a PostgreSQL of its own and the real `smartsite run api`. Processor time is read from /proc; who sends,
watches and asks runs in processes of its own and is not counted.
"""
