"""The first tables. Written out, since it must not change with `tables`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the first tables."""
    _create_first_policies_table()
    _create_first_decision_tables()
    _create_first_submission_tables()
    _create_first_quarantine_table()
    _create_first_outbox_table()


def _create_first_policies_table() -> None:
    op.create_table(
        "policies",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("policy_id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_policies"),
    )


def _create_first_decision_tables() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("policy_sha256", sa.String(64), nullable=False),
        sa.Column("policy_id", sa.String(128), nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("model_revision", sa.Text, nullable=False),
        sa.Column("model_fingerprint", sa.String(128), nullable=False),
        sa.Column("preprocessing", sa.String(64), nullable=False),
        sa.Column("conditions", sa.String(128), nullable=False),
        sa.Column("dtype", sa.String(32), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("runtime", sa.String(32), nullable=False),
        sa.Column("logit_scale", sa.Float(53), nullable=False),
        sa.Column("logit_bias", sa.Float(53)),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.Column("frame", sa.Integer, nullable=False),
        sa.Column("verdict", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.ForeignKeyConstraint(
            ["policy_sha256"], ["policies.sha256"], name="fk_decisions_policy_sha256"
        ),
        sa.UniqueConstraint(
            "image_sha256",
            "policy_sha256",
            "model_fingerprint",
            "preprocessing",
            "conditions",
            name="uq_decisions_image_and_basis",
        ),
    )
    op.create_index("ix_decisions_decided_at", "decisions", ["decided_at"])
    op.create_index("ix_decisions_policy_id_decided_at", "decisions", ["policy_id", "decided_at"])
    op.create_index("ix_decisions_policy_sha256", "decisions", ["policy_sha256"])


def _create_first_submission_tables() -> None:
    op.create_table(
        "submissions",
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("reference_kind", sa.String(8), nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("policies", sa.JSON, nullable=False),
        sa.Column("queue", sa.String(16), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_submissions"),
    )
    op.create_index("ix_submissions_finished_at", "submissions", ["finished_at"])
    op.create_table(
        "submission_decisions",
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("timings", sa.JSON, nullable=False),
        sa.Column("rendition", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("request_id", "position", name="pk_submission_decisions"),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["submissions.request_id"],
            name="fk_submission_decisions_request_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.id"], name="fk_submission_decisions_decision_id"
        ),
    )
    op.create_index("ix_submission_decisions_decision_id", "submission_decisions", ["decision_id"])


def _create_first_quarantine_table() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("error_type", sa.String(64), nullable=False),
        sa.Column("error_args", sa.JSON, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.Column("dropped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_request_id", "quarantine", ["request_id"])
    op.create_index("ix_quarantine_quarantined_at", "quarantine", ["quarantined_at"])


def _create_first_outbox_table() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_request_id", "outbox", ["request_id"])
    op.create_index(
        "ix_outbox_delivered_at_failed_at_next_attempt_at",
        "outbox",
        ["delivered_at", "failed_at", "next_attempt_at"],
    )
