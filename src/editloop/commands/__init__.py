"""The commands, a module a subject: each parses, calls one function of the package, and prints.

A command that is added here is named in `cli.COMMANDS`. Nothing heavy is imported before a command
needs it, so `editloop --help` answers at once.
"""
