"""The tables of the decision log; `migrations` makes them, docs/decision-log.md explains them.

Times are in UTC. Nothing here holds an image, or the user, password or query of its URL. The URLs
of webhooks are as in the settings.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

#: Named constraints, which later migrations can refer to on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite does not store the zone, so it is added when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the time in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the time in UTC; PostgreSQL gives it in the zone of its session."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


#: The content of policies that decided, so that a replay needs no file.
policies = Table(
    "policies",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("policy_id", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", JSON, nullable=False),
    Column("first_used_at", UtcDateTime, nullable=False),
)

#: One row per decision: an image under a policy and a model.
decisions = Table(
    "decisions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("request_id", String(128), nullable=False),  # of the first request that led to it
    Column("decided_at", UtcDateTime, nullable=False),
    Column("image_sha256", String(64), nullable=False),
    Column("policy_sha256", ForeignKey("policies.sha256"), nullable=False, index=True),
    Column("policy_id", String(128), nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("model_revision", Text, nullable=False),
    Column("model_fingerprint", String(128), nullable=False),
    Column("preprocessing", String(64), nullable=False),
    Column("conditions", String(128), nullable=False),
    Column("dtype", String(32), nullable=False),
    Column("device", String(64), nullable=False),
    Column("runtime", String(32), nullable=False),
    Column("logit_scale", Float(53), nullable=False),
    Column("logit_bias", Float(53)),
    Column("action", String(16), nullable=False),
    Column("flagged", Boolean, nullable=False),
    Column("frame", Integer, nullable=False),
    # The verdict as it was answered: labels with similarities, scores, thresholds; timings.
    Column("verdict", JSON, nullable=False),
    UniqueConstraint(
        "image_sha256",
        "policy_sha256",
        "model_fingerprint",
        "preprocessing",
        "conditions",
        name="uq_decisions_image_and_basis",  # PostgreSQL cuts names after 63 characters
    ),
    Index(None, "decided_at"),
    Index(None, "policy_id", "decided_at"),
)

#: One row per request that has its final answer.
submissions = Table(
    "submissions",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("reference_kind", String(8), nullable=False),
    Column("reference", Text, nullable=False),
    Column("policies", JSON, nullable=False),
    Column("queue", String(16), nullable=False),
    Column("sent_at", UtcDateTime),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("outcome", String(16), nullable=False),  # decided or quarantined
    Index(None, "finished_at"),
)

#: Which decisions answered a request, in the order of its policies.
submission_decisions = Table(
    "submission_decisions",
    metadata,
    Column(
        "request_id", ForeignKey("submissions.request_id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True),
    Column("decision_id", ForeignKey("decisions.id"), nullable=False, index=True),
    # Of this request, so that its answer is the same each time it is asked for.
    Column("timings", JSON, nullable=False),
    Column("rendition", JSON(none_as_null=True)),
)

#: Requests that got no verdict. The row of one that was retried stays as history: `released_at`.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("request_id", String(128), nullable=False, index=True),
    Column("quarantined_at", UtcDateTime, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("error_type", String(64), nullable=False),
    Column("error_args", JSON, nullable=False),
    Column("deliveries", Integer, nullable=False),  # how often a worker died with it in hand
    Column("retries", Integer, nullable=False),
    Column("released_at", UtcDateTime),
    Column("dropped_at", UtcDateTime),
    Index(None, "quarantined_at"),
)

#: Webhooks to be sent; written in one transaction with the answer that they carry.
outbox = Table(
    "outbox",
    metadata,
    Column("id", String(64), primary_key=True),  # the webhook-id, the same for all tries
    Column("request_id", String(128), nullable=False, index=True),
    Column("endpoint", Text, nullable=False),
    Column("payload", Text, nullable=False),  # the very bytes that are signed, as text
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("claimed_until", UtcDateTime),  # until then a dispatcher has it in hand
    Column("delivered_at", UtcDateTime),
    Column("failed_at", UtcDateTime),  # given up
    Column("last_error", Text),
    Index(None, "delivered_at", "failed_at", "next_attempt_at"),
)
