"""`moderation policy ...`: puts the commands for authors of policies together."""

from __future__ import annotations

from moderation.commands.command_line import command_group
from moderation.commands.policy import diff, explain, lint, show

app = command_group("Check, show and describe policy files.")
app.command(epilog=lint.EPILOG)(lint.lint)
app.command(epilog=diff.EPILOG)(diff.diff)
app.command(epilog=explain.EPILOG)(explain.explain)
app.command(epilog=show.SHOW_EPILOG)(show.show)
app.command(epilog=show.SCHEMA_EPILOG)(show.schema)
