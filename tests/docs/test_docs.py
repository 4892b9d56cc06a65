"""What the pages say of `moderation` is so, and nothing of it is left out."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest
import redis
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from moderation import errors, messages
from moderation.client import client as plugin
from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.encoders.encoder import ImageModel, TextEncoder
from moderation.encoders.registry import LOADERS
from moderation.errors import ModerationError, PolicyError, RequestError
from moderation.messages import (
    EmbeddingRequest,
    EmbeddingResponse,
    ImageReference,
    LabelScore,
    ModelStamp,
    ModerationRequest,
    ModerationResponse,
    PolicyStamp,
    Rendition,
    Verdict,
)
from moderation.policy import Example, Expectation, Label, Policy, load_policy, parse_policy
from moderation.policy.lint.linting import invalid_findings
from moderation.queue.envelope import read_envelope
from moderation.settings import PREFIX, Settings
from moderation.worker.answering import may_answer_later
from tests.conftest import POLICIES, ROOT
from tests.support.command_line import python
from tests.support.pages import (
    DOCS,
    PAGES,
    block,
    exceptions,
    first_span,
    parents,
    read_sections,
    section,
    spans,
    table,
)


def shown_default(value: Any) -> str:
    """Returns a default as the tables write it, without backticks."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == () or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and all(isinstance(part, Path) for part in value):
        return os.pathsep.join(map(str, value))
    if isinstance(value, tuple):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


# Settings


def settings_rows() -> dict[str, dict[str, str]]:
    rows = table(section("settings.md", "Every variable").prose)
    found = {first_span(row, "variable"): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_settings_table_has_every_setting_and_no_other() -> None:
    assert set(settings_rows()) == {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_settings_table_has_the_default_of(name: str) -> None:
    cell = settings_rows()[PREFIX + name.upper()]["default"]
    default = Settings.model_fields[name].default
    if name == "allowed_schemes":  # words with commas, as in the variable
        default = ",".join(default)
    assert cell.strip("`") == shown_default(default)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_settings_table_has_the_limits_of(name: str) -> None:
    field = Settings.model_fields[name]
    cell = settings_rows()[PREFIX + name.upper()]["limits"]
    in_words = re.sub(r"`[^`]*`", "", cell)
    assert {float(number) for number in re.findall(r"\d+(?:\.\d+)?", in_words)} == {
        float(getattr(limit, side))
        for limit in limits_of(field)
        for side in ("ge", "gt", "le", "lt")
        if isinstance(getattr(limit, side, None), int | float)
    }
    if isinstance(field.default, tuple):
        assert "separator" in cell
    for choice in literal_choices(field):
        assert f"`{choice}`" in cell


def limits_of(field: FieldInfo) -> list[object]:
    """Returns the limits of a setting, and of each kind of value that it can have."""
    kinds = [kind for kind in get_args(field.annotation) if hasattr(kind, "__metadata__")]
    notes = [note for kind in kinds for note in kind.__metadata__]
    nested = [one for note in notes if isinstance(note, FieldInfo) for one in note.metadata]
    return [*field.metadata, *nested]


def literal_choices(field: FieldInfo) -> tuple[str, ...]:
    if not isinstance(field.default, str):
        return ()
    kinds = get_args(field.annotation)
    nested = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    return (*(kind for kind in kinds if isinstance(kind, str)), *nested)


# Fields of what is written and read

RECORDS = [
    *(("policies.md", record) for record in (Policy, Label, Example, Expectation)),
    *(("messages.md", record) for record in (ModerationRequest, EmbeddingRequest, ImageReference)),
    *(("messages.md", record) for record in (ModerationResponse, Verdict, LabelScore)),
    *(("messages.md", record) for record in (EmbeddingResponse, PolicyStamp, ModelStamp)),
    ("messages.md", Rendition),
]
PARSED = [*RECORDS[:7]]


def record_name(value: Any) -> str | None:
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("page", "record"), RECORDS, ids=record_name)
def test_the_table_has_every_field_and_no_other_of(page: str, record: type[BaseModel]) -> None:
    rows = table(section(page, record.__name__).prose)
    [column, *_] = rows[0]
    assert [first_span(row, column) for row in rows if spans(row[column])] == [
        first_span(row, column) for row in rows
    ]
    assert sorted(first_span(row, column) for row in rows) == sorted(record.model_fields)


@pytest.mark.parametrize(("page", "record"), PARSED, ids=record_name)
def test_the_table_says_what_is_required_and_the_defaults_of(
    page: str, record: type[BaseModel]
) -> None:
    rows = table(section(page, record.__name__).prose)
    [column, *_] = rows[0]
    for row in rows:
        field = record.model_fields[first_span(row, column)]
        if field.is_required():
            assert row["default"] == "required"
        elif field.default_factory is not None:
            assert row["default"] not in ("required", "none")
        else:
            expected = "[]" if field.default == () else shown_default(field.default)
            assert row["default"].strip("`") == expected


# Errors

ERRORS = exceptions(errors)
REAL_PARENTS = {
    name: error.__base__.__name__ if error is not ModerationError and error.__base__ else None
    for name, error in ERRORS.items()
}


def error_rows() -> list[dict[str, str]]:
    return table((DOCS / "errors.md").read_text(encoding="utf-8"), "class |")


def test_the_errors_page_has_every_error_and_no_other() -> None:
    rows = error_rows()
    assert sorted(first_span(row, "class") for row in rows) == sorted(ERRORS)
    assert all(row["when"] and row["what to do"] for row in rows)


def test_the_errors_page_says_what_a_worker_tries_again() -> None:
    retried = {first_span(row, "class"): row["retried by the worker"] for row in error_rows()}
    # An error of none of our classes is tried again, and its host sees a WorkerError.
    assert may_answer_later(ZeroDivisionError())
    assert retried.pop("WorkerError").startswith("yes, what no class names")
    for name, cell in retried.items():
        error = ERRORS[name]([] if name == "PolicyError" else "it broke")
        if cell.startswith(("no", "yes")):
            assert may_answer_later(error) == cell.startswith("yes"), name


def test_the_errors_page_draws_the_tree() -> None:
    assert parents(block("errors.md", "ModerationError")) == REAL_PARENTS


def test_the_docstring_of_errors_draws_the_tree() -> None:
    [tree] = [
        part for part in (errors.__doc__ or "").split("\n\n") if part.startswith("Moderation")
    ]
    assert parents(tree) == REAL_PARENTS


# Links


def slug(heading: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> list[str]:
    prose = "\n".join(part.prose for part in read_sections(page))
    inline = re.findall(r"\]\(([^)\s]+)\)", prose)
    return inline + re.findall(r"^\[[^\]]+\]: (\S+)", prose, re.MULTILINE)


def test_links_are_found() -> None:
    assert "encoders.md" in links(DOCS / "policies.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT.resolve()), link
        assert target.exists(), link
        if anchor:
            assert anchor in {slug(part.heading) for part in read_sections(target)}, link


# Policies


def policy_blocks(page: Path) -> list[str]:
    """Returns the YAML blocks of a page that are whole policies."""
    return [
        each.text
        for part in read_sections(page)
        for each in part.blocks
        if each.language == "yaml" and each.text.startswith("schema_version")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_policy_on_a_page_is_accepted(page: Path) -> None:
    for text in policy_blocks(page):
        parse_policy(text.encode(), page.name, model="openai/clip-vit-base-patch32")


def test_the_first_policy_has_ten_lines() -> None:
    [first, *_] = policy_blocks(DOCS / "policies.md")
    assert len(first.split("\n")) == 10


def test_the_refused_policy_has_the_problems_that_the_page_shows() -> None:
    broken, shown = block("policies.md", "# broken.yaml"), block("policies.md", "broken.yaml:")
    with pytest.raises(PolicyError) as caught:
        parse_policy(broken.encode(), "broken.yaml")
    findings = invalid_findings(caught.value.problems)
    assert [str(finding) for finding in findings] == shown.split("\n")


def test_every_shipped_policy_is_described() -> None:
    part = section("policies.md", "Shipped policies")
    rows = {
        Path(re.findall(r"\(([^)]+)\)", row["policy"])[0]).stem: row for row in table(part.prose)
    }
    assert set(rows) == {path.stem for path in POLICIES.glob("*.yaml")}
    for name, row in rows.items():
        assert row["scoring"] == load_policy(POLICIES / f"{name}.yaml").scoring
    for path in POLICIES.glob("*/*.yaml"):
        assert f"(../{path.relative_to(ROOT).as_posix()})" in part.prose


# Messages


def test_the_messages_page_names_the_task_and_its_queues() -> None:
    spoken = spans(section("messages.md", "The task").prose)
    assert {messages.TASK_NAME, messages.QUEUES["interactive"], messages.QUEUES["bulk"]} <= set(
        spoken
    )
    assert messages.EMBED_TASK_NAME in spans(section("messages.md", "Embedding images").prose)
    script = block("messages.md", "# host.py")
    assert f'"{messages.TASK_NAME}"' in script
    assert f'"{messages.QUEUES["interactive"]}"' in script


def test_the_whole_message_on_the_messages_page_is_one_that_a_worker_takes(
    redis_server: EmbeddedRedis, worker: EmbeddedWorker, settings: Settings
) -> None:
    shown, body = (each.text for each in section("messages.md", "The whole message").blocks)
    queue = messages.QUEUES["interactive"]
    envelope = read_envelope(shown.encode(), largest=100_000)
    assert envelope.task == messages.TASK_NAME
    assert [[], {"request": envelope.request}, {}] == json.loads(body)
    request = ModerationRequest.model_validate(envelope.request)
    assert envelope.id == request.request_id
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.lpush(queue, shown)
    # This is the answer to the request, whose image is on a host that the worker may not ask.
    with pytest.raises(RequestError, match=r"images\.example\.com") as caught:
        Client(settings).collect(request.request_id)
    assert caught.value.where != "message"


def test_the_response_on_the_messages_page_is_one_of_the_first_policy() -> None:
    shown = block("messages.md", '{\n  "schema_version"')
    response = ModerationResponse.model_validate_json(shown)
    assert json.loads(shown) == response.model_dump(mode="json")
    [policy_text, *_] = policy_blocks(DOCS / "policies.md")
    policy = parse_policy(policy_text.encode(), "policies.md")
    [verdict] = response.verdicts
    assert verdict.policy == policy.stamp
    assert [label.label for label in verdict.labels] == [label.id for label in policy.labels]


def test_the_failure_on_the_messages_page_is_an_error_of_ours() -> None:
    failure = json.loads(block("messages.md", '{\n  "exc_type"'))
    error = ERRORS[failure["exc_type"]](*failure["exc_message"])
    assert list(error.args) == failure["exc_message"]
    assert type(error).__module__ == failure["exc_module"]


def run_without_package(script: Path, redis_url: str, *arguments: str) -> str:
    """Returns what a script prints where our package cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['moderation'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    variables = {**os.environ, "REDIS_URL": redis_url}
    done = python(code, str(script), *arguments, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_celery_host_gets_verdicts_and_failures(
    redis_server: EmbeddedRedis, worker: EmbeddedWorker, photographs: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "host.py"
    script.write_text(block("messages.md", "# host.py"), encoding="utf-8")
    [cat] = [path for path in photographs if path.name == "chelsea.png"]
    said = run_without_package(script, redis_server.url, str(cat), "weapons", "document-privacy")
    assert [line.split()[0] for line in said.splitlines()] == ["weapons", "document-privacy"]
    refused = run_without_package(script, redis_server.url, str(script), "weapons")
    shown = block("messages.md", "$ python host.py host.py")
    assert refused.strip().splitlines() == shown.split("\n\n")[0].splitlines()[1:]


def test_the_result_can_be_read_without_celery(
    redis_server: EmbeddedRedis, client: Client, photographs: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "poll.py"
    script.write_text(block("messages.md", "# poll.py"), encoding="utf-8")
    request_id = client.submit(photographs[0].read_bytes(), "weapons")
    status, _, result = run_without_package(script, redis_server.url, request_id).partition(" ")
    assert status == "SUCCESS"
    assert ModerationResponse.model_validate_json(result).request_id == request_id
    request_id = client.submit(b"nonsense", "weapons")
    status, _, result = run_without_package(script, redis_server.url, request_id).partition(" ")
    assert (status, json.loads(result)["exc_type"]) == ("FAILURE", "ImageError")


def test_the_web_app_on_the_errors_page_answers(
    client: Client, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = section("errors.md", "In a web app").blocks
    script = tmp_path / "app.py"
    script.write_text(example.text, encoding="utf-8")
    url = client.settings.broker_url.get_secret_value()
    monkeypatch.setenv(f"{PREFIX}BROKER_URL", url)
    plugin.default_client.cache_clear()
    check = runpy.run_path(str(script))["check"]
    try:
        [cat] = [path for path in photographs if path.name == "chelsea.png"]
        assert check(cat.read_bytes()) == (200, "allow")
        assert check(b"nonsense")[0] == 422
    finally:
        plugin.default_client.cache_clear()


# Encoders


def test_the_encoders_page_has_every_encoder() -> None:
    rows = table((DOCS / "encoders.md").read_text(encoding="utf-8"), "encoder |")
    assert {first_span(row, "encoder") for row in rows} == set(LOADERS)


def test_the_encoders_page_has_every_member_of_an_encoder() -> None:
    prose = section("encoders.md", "Adding an encoder").prose
    described = {first_span(row, "member").partition("(")[0] for row in table(prose)}
    members = {**vars(TextEncoder), **vars(ImageModel)}
    methods = {name for name in members if inspect.isfunction(members[name])}
    values = {*TextEncoder.__annotations__, *ImageModel.__annotations__}
    assert described == values | {m for m in methods if not m.startswith("_")}
