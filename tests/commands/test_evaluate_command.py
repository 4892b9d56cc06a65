"""`moderation evaluate`: what it prints and writes, and that a second run takes no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from audit.errors import AuditError
from moderation.commands.app import app
from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from tests.conftest import ROOT
from tests.support.policy_texts import POLICY

