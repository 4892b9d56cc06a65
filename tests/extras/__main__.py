"""`python -m tests.extras EXTRA` runs the program of an extra; it fails, or says what it proved."""

import sys
from importlib import import_module

program = import_module(f"tests.extras.{sys.argv[1]}")
program.main()
print(f"{sys.argv[1]}: {program.main.__doc__}")
