"""The database away, or everything killed at random moments, under devices that send all along."""
