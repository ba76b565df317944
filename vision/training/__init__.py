"""Training and export of the detector; torch and ultralytics are imported here only, and never at run time."""
