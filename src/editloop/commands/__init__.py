"""The commands, a module a subject: each parses, calls one function of the package, and prints.

`common` has what they parse alike, `terminal` what they print alike.

A command that is added here is named in `cli.COMMANDS`. Nothing heavy is imported before a command
needs it, so `editloop --help` answers at once.
"""
