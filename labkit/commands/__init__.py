"""The click commands that `flask weblab ...` and `labkit ...` have in common. Used by the extension and by the program.

Their modules import little: what a command needs it imports when it runs, so that `--help` stays quick. The program's
own commands, which start processes, are in `labkit.cli`.
"""

from labkit.commands.weblab import weblab_commands

__all__ = ["weblab_commands"]
