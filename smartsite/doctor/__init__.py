"""The doctor: what is wrong with a set-up, and how to mend it.

Each module examines one subject and never changes anything; ``checkup`` runs them all.
"""
