"""The ground of the house: settings, clock, errors, database, the log, evidence, metrics. Imports no room."""
