"""`moderation policy ...`: puts the commands for authors of policies together."""

from __future__ import annotations

from moderation.commands.command_line import command_group
from moderation.commands.policy import diff, example_tests, explain, lint, pin, show

app = command_group(
    "Write policies: check, show and test them, and see what an edit changes and why."
)
app.command(epilog=lint.EPILOG)(lint.lint)
app.command(epilog=diff.EPILOG)(diff.diff)
app.command(epilog=explain.EPILOG)(explain.explain)
app.command("test", epilog=example_tests.EPILOG)(example_tests.run_tests)
app.command(epilog=pin.EPILOG)(pin.pin)
app.command(epilog=show.SHOW_EPILOG)(show.show)
app.command(epilog=show.SCHEMA_EPILOG)(show.schema)
