"""The doctor: what is wrong with a set-up, and how to mend it.

A check is a module of this folder with an ``examine`` function; ``checkup`` runs them all. Each looks at one subject and never
changes anything.
"""
