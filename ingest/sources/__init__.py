"""Where messages come from: one file a source, all behind the interface of sources.base."""
