"""MODERATION_* environment variables as one frozen record, read once at the edge.

No other module takes a setting from `os.environ`. It imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from moderation.errors import SettingsError
from moderation.settings.kinds import (
    FolderPaths,
    Hosts,
    ListenAddress,
    Networks,
    Paths,
    RedisUrl,
    Schemes,
    Words,
)

PREFIX = "MODERATION_"

#: Line processes of one worker, at most.
MOST_PROCESSES = 64

#: The published CLIP ViT-B/32, pinned, since what a branch holds may change. This commit is the
#: Hub's conversion to safetensors; the main branch only holds pickled weights.
DEFAULT_MODEL = "openai/clip-vit-base-patch32@c237dc49a33fc61debc9276459120b7eac67e7ef"


class Settings(BaseSettings):
    """What an operator sets; each field is the variable MODERATION_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    broker_url: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"), description="Redis that carries the requests."
    )
    result_url: RedisUrl | None = Field(
        None, description="Redis that keeps verdicts until they are collected; None: the broker."
    )
    redis_ca_file: Path | None = Field(
        None,
        description="CA certificates that Redis is checked against; None: the system's.",
    )
    redis_cert_file: Path | None = Field(
        None, description="Client certificate for Redis, if it asks for one."
    )
    redis_key_file: Path | None = Field(None, description="Private key of that certificate.")
    max_queue_length: int = Field(
        10_000,
        ge=1,
        description="Requests that wait in one queue, at most; then `submit` raises QueueFull.",
    )
    max_queue_bytes: int = Field(
        500_000_000,
        ge=1,
        description="Requests that are submitted and not answered yet, at most, in bytes; then "
        "`submit` raises QueueFull.",
    )
    result_expires_seconds: int = Field(
        3600, ge=1, description="How long a verdict can be collected."
    )
    visibility_timeout_seconds: int = Field(
        600,
        ge=5,
        description="After how long a request goes to another worker although the one that has it "
        "lives; longer than any request takes.",
    )
    verdict_timeout_seconds: float = Field(
        30.0, gt=0, description="How long `collect` waits when the caller does not say."
    )
    model: str = Field(
        DEFAULT_MODEL,
        description="Model of policies that name none: `starter`, a folder, or hub-id[@revision].",
    )
    device: str = Field("auto", description="torch device: auto, cpu, cuda, cuda:1, ...")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the model; auto takes what the hardware computes in."
    )
    runtime: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What runs the model on images; auto is openvino where it can be used."
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads that one model computes with; None: one per core."
    )
    cuda_graphs: bool = Field(
        True,
        description="On a GPU, launch a model's forward as one CUDA graph for each batch size.",
    )
    compile: bool = Field(
        False, description="On a GPU, let torch compile the model: a slower start, faster images."
    )
    offline: bool = Field(False, description="Never ask the model hub, use its local cache only.")
    policies: Paths = Field(
        (Path("policies"),),
        min_length=1,
        description=f"Policy files, or folders of them, that a worker serves; "
        f"`{os.pathsep}` between.",
    )
    classifiers: Path | None = Field(
        None,
        description="Folder of the ONNX files that policies name as classifiers; None: only those "
        "of packages are used.",
    )
    store: Path | None = Field(
        None,
        description="Folder of the commands' embedding store; None: one in the user's cache.",
    )
    allowed_roots: FolderPaths = Field(
        (), description=f"Folders that a path may lie in; `{os.pathsep}` between. None by default."
    )
    allowed_hosts: Hosts = Field(
        (), description="Hosts that a URL may name, exactly; `,` between. None by default."
    )
    allowed_schemes: Schemes = Field(
        ("https",), description="Schemes that a URL may have, of https and http; `,` between."
    )
    allowed_networks: Networks = Field(
        (),
        description="Networks that URLs may lead to although they are not public "
        "(10.2.0.0/16); `,` between. None by default.",
    )
    max_redirects: int = Field(
        3, ge=0, le=20, description="Redirects that are followed, each to an allowed host."
    )
    allowed_stores: Words = Field(
        (),
        description="Prefixes that an fsspec key may start with (s3://bucket/uploads); "
        "`,` between. None by default.",
    )
    max_image_bytes: int = Field(
        20_000_000, ge=1, description="Largest image file, in bytes; larger ones are refused."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, description="Largest image, width times height; larger ones are refused."
    )
    frames: int = Field(
        16,
        ge=1,
        le=64,
        description="Frames of an animation that are looked at, chosen by how much they change; "
        "the first and the last are among them.",
    )
    views: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto", description="Parts of a picture that are looked at; auto covers what is beyond 4:3."
    )
    oddities: Literal["review", "refuse", "allow"] = Field(
        "review",
        description="What becomes of a file that viewers show differently, and that no ordinary "
        "camera, phone or editor makes.",
    )
    unseen: Literal["allow", "review"] = Field(
        "allow",
        description="What becomes of an animation that is longer than what was looked at; allow "
        "lets its scores decide.",
    )
    renditions: str | None = Field(
        None,
        min_length=1,
        description="Folder where the pictures that were judged are written, to be served in place "
        "of the uploads: a path, or an fsspec URL (s3://bucket/pictures). None: none are.",
    )
    rendition_format: Literal["webp", "jpeg", "png"] = Field(
        "webp", description="Format of these pictures."
    )
    rendition_side: int = Field(
        2000, ge=64, le=16_383, description="Their longest side, in pixels; larger ones are shrunk."
    )
    rendition_quality: int = Field(
        85, ge=1, le=100, description="What webp and jpeg keep of them: 100 the most."
    )
    fetch_timeout_seconds: float = Field(
        10.0, gt=0, description="How long fetching an image from a URL or store may take."
    )
    max_retries: int = Field(
        5, ge=0, description="How often a worker retries a failure that may pass, with back-off."
    )
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_PROCESSES)] = Field(
        "auto", description="Line processes of a worker; auto is one on few cores without a GPU."
    )
    concurrency: int = Field(
        64, ge=1, le=1024, description="Requests that one line process has in hand at a time."
    )
    in_hand_bytes: int = Field(
        1_000_000_000,
        ge=1,
        description="Bytes of messages that they hold at a time, at most; and as many of files, "
        "and as many of pixels. One request is always taken.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Most images that go through the encoder together; None: what suits it.",
    )
    decoders: int | None = Field(
        None, ge=1, le=256, description="Processes that decode images; None: one per core."
    )
    decode_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="How long decoding one image may take; then it is refused.",
    )
    decoder_memory_bytes: int = Field(
        2_000_000_000, ge=300_000_000, description="Address space that one decoder may use."
    )
    max_deliveries: int = Field(
        5,
        ge=1,
        description="How often a worker may die with a request in hand; then it is quarantined.",
    )
    quarantine_bytes: int = Field(
        100_000_000,
        ge=0,
        description="Requests in quarantine that Redis keeps for `quarantine retry`, in bytes; "
        "the oldest go first.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="Database of the decision log, sqlite:///FILE or postgresql://...; None: "
        "SQLite in the user's state folder.",
    )
    retention_days: int | None = Field(
        200, ge=1, description="How long the decision log keeps what is final."
    )
    callback_urls: Words = Field(
        (), description="Where each final answer is sent, as a signed webhook; `,` between."
    )
    callback_secrets: SecretStr | None = Field(
        None,
        description="Secrets that webhooks are signed with (whsec_...); `,` between, all are used.",
    )
    callback_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="How long a receiver of webhooks may take to answer."
    )
    metrics_address: ListenAddress | None = Field(
        None, description="HOST:PORT where a worker answers Prometheus; a port alone is local."
    )
    log_format: Literal["text", "json"] = Field("text", description="How a worker logs.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What a worker logs."
    )

    @field_validator("views", "processes", mode="wrap")
    @classmethod
    def _auto_or_number_setting(
        cls, value: Any, parse: ValidatorFunctionWrapHandler, field: ValidationInfo
    ) -> Any:
        """Returns the parsed number or auto; an error says once what can be written."""
        try:
            return parse(value)
        except ValidationError:
            what = f"{value!r} is not a number of {field.field_name}"
            raise ValueError(f"{what}; write auto, or 1 to 64") from None

    @property
    def result_backend_url(self) -> SecretStr:
        """The Redis URL of the results."""
        return self.result_url or self.broker_url


def load_settings(**overrides: Any) -> Settings:
    """Returns the settings of the environment; `overrides` that are not None win over it.

    Raises:
        SettingsError: variables hold values that are not usable; it names each of them.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'_'.join(map(str, problem['loc'][:1])).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(
            wrong, "the environment", "docs/settings.md lists every setting"
        ) from error


def unknown_variables(environ: Iterable[str], options: Collection[str]) -> list[str]:
    """Returns the MODERATION_* names in `environ` that are neither setting nor option, sorted."""
    known = {*options, *(PREFIX + name.upper() for name in Settings.model_fields)}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
