"""The subcommands of ``smartsite``, a module each.

A module has ``HELP`` (one line), ``DESCRIPTION`` (longer), ``arguments(parser)`` and
``run(options, settings) -> int`` (the exit status). It imports what is heavy inside ``run``, so that ``--help`` stays
quick. Its name is the command's name.
"""
