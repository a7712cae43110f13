"""The CLI's commands, one module per subject.

What may enter: functions that parse arguments, call one function of the package, and print.
`common` holds arguments and options that several commands share, `terminal` the shared output.

List a new command in `cli.COMMANDS`. Import heavy modules inside the command that needs them, so
that `editloop --help` stays fast.
"""
