"""The alert engine beside the obvious per-reading loop and SQL window queries, the same alerts asserted from all three.

10,000 stations of eight values under twenty rules: eight thresholds, six of them again with a duration, six windows.
Ours runs from the bytes of the log to the transitions, in full ticks and in commits of at most 500 messages that are
cut into shards as ingest cuts them. The loop gets ready-made Python floats, the database's queries run on the first
stations only and are not charged for storing the readings. Rounds are interleaved; figures are medians. Then the real
chain at 1,000 messages/s, from publish to the regulator's acceptance and to the officer's message.
"""
