"""What is undocumented, and what the documents say that is not so, fails here."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import redis
import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from moderation import errors, messages
from moderation.client import client as plugin
from moderation.client.client import Client
from moderation.commands import app as cli
from moderation.commands import exit_codes
from moderation.commands.doctor import command as doctor
from moderation.commands.options import RowFormat
from moderation.commands.queues import QueuesFormat
from moderation.encoders.encoder import Encoder
from moderation.encoders.registry import LOADERS
from moderation.errors import ModerationError, PolicyError, RequestError
from moderation.local_servers import EmbeddedRedis, EmbeddedWorker
from moderation.messages import (
    EmbeddingRequest,
    EmbeddingResponse,
    ImageReference,
    LabelScore,
    ModelStamp,
    ModerationRequest,
    ModerationResponse,
    PolicyStamp,
    Verdict,
)
from moderation.policy import Example, Expectation, Label, Policy, load_policy, parse_policy
from moderation.queue.envelope import read_envelope
from moderation.settings import PREFIX, Settings
from moderation.worker.reasons import may_pass
from tests.conftest import POLICIES, ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
#: Under such a heading a command may be named that there is not.
NOT_YET = re.compile(r"\bnot\b.*\byet\b", re.IGNORECASE)
#: Fenced blocks that hold what is typed into a shell.
SHELL = ("", "sh", "bash", "shell", "console")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


class Section(NamedTuple):
    """What stands between a heading and the next; `prose` is without its fenced blocks."""

    heading: str
    prose: str
    blocks: list[Block]


def read_sections(page: Path) -> list[Section]:
    """Returns the sections of a page; what stands before its first heading has the heading ''."""
    found = [Section("", "", [])]
    fence: str | None = None
    inside: list[str] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if fence is not None and line.startswith("```"):
            found[-1].blocks.append(Block(fence, "\n".join(inside)))
            fence, inside = None, []
        elif fence is not None:
            inside.append(line)
        elif line.startswith("```"):
            fence = line[3:].strip()
        elif heading := re.fullmatch(r"#+ (.+)", line):
            found.append(Section(heading[1].strip(), "", []))
        else:
            found[-1] = found[-1]._replace(prose=f"{found[-1].prose}{line}\n")
    assert fence is None, f"a fenced block of {page.name} is not closed"
    return found


def section(page: str, heading: str) -> Section:
    """Returns the one section of that heading."""
    [found] = [part for part in read_sections(DOCS / page) if part.heading == heading]
    return found


def table(prose: str) -> list[dict[str, str]]:
    """Returns the rows of the first table, by column."""
    lines = [line.strip() for line in prose.split("\n")]
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    head, ruler, *body = rows
    assert all(set(cell) <= set("-: ") for cell in ruler)
    return [dict(zip(head, row, strict=True)) for row in body]


def spans(text: str) -> list[str]:
    """Returns what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def first_span(row: dict[str, str], column: str) -> str:
    [name, *_] = spans(row[column])
    return name


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
    if name == "allowed_schemes":  # words, as the variable holds them
        default = ",".join(default)
    assert cell.strip("`") == shown_default(default)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_settings_table_has_the_limits_of(name: str) -> None:
    field = Settings.model_fields[name]
    cell = settings_rows()[PREFIX + name.upper()]["limits"]
    assert {float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell) if not spans(cell)} == {
        float(getattr(limit, side))
        for limit in field.metadata
        for side in ("ge", "gt", "le", "lt")
        if isinstance(getattr(limit, side, None), int | float)
    }
    if isinstance(field.default, tuple):
        assert "separator" in cell
    for choice in literal_choices(field):
        assert f"`{choice}`" in cell


def literal_choices(field: FieldInfo) -> tuple[str, ...]:
    return (
        tuple(getattr(field.annotation, "__args__", ())) if isinstance(field.default, str) else ()
    )


# Fields of what is written and read

RECORDS = [
    *(("policies.md", record) for record in (Policy, Label, Example, Expectation)),
    *(("messages.md", record) for record in (ModerationRequest, EmbeddingRequest, ImageReference)),
    *(("messages.md", record) for record in (ModerationResponse, Verdict, LabelScore)),
    *(("messages.md", record) for record in (EmbeddingResponse,)),
    *(("messages.md", record) for record in (PolicyStamp, ModelStamp)),
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

ERRORS = {
    value.__name__: value
    for value in vars(errors).values()
    if inspect.isclass(value)
    and issubclass(value, Exception)
    and value.__module__ == "moderation.errors"
}


def parents(tree: str) -> dict[str, str | None]:
    """Returns the parent of each name in a tree that is drawn by indentation."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( *)(\w+)  +\S", tree, re.MULTILINE):
        above = [(depth, upper) for depth, upper in above if depth < len(indent)]
        found[name] = above[-1][1] if above else None
        above.append((len(indent), name))
    return found


REAL_PARENTS = {
    name: error.__base__.__name__ if error is not ModerationError and error.__base__ else None
    for name, error in ERRORS.items()
}


def test_the_errors_page_has_every_error_and_no_other() -> None:
    [rows] = [
        table(part.prose) for part in read_sections(DOCS / "errors.md") if "| class |" in part.prose
    ]
    assert sorted(first_span(row, "class") for row in rows) == sorted(ERRORS)
    assert all(row["when"] and row["what to do"] for row in rows)


def test_the_errors_page_says_what_a_worker_tries_again() -> None:
    [rows] = [
        table(part.prose) for part in read_sections(DOCS / "errors.md") if "| class |" in part.prose
    ]
    retried = {first_span(row, "class"): row["retried by the worker"] for row in rows}
    # What no class of ours names is tried again, and is a WorkerError to its host.
    assert may_pass(ZeroDivisionError())
    assert retried.pop("WorkerError").startswith("yes, what no class names")
    for name, told in retried.items():
        error = ERRORS[name]([] if name == "PolicyError" else "it broke")
        if told.startswith(("no", "yes")):
            assert may_pass(error) == told.startswith("yes"), name


def test_the_errors_page_draws_the_tree() -> None:
    [tree] = [
        block.text
        for part in read_sections(DOCS / "errors.md")
        for block in part.blocks
        if block.text.startswith("ModerationError")
    ]
    assert parents(tree) == REAL_PARENTS


def test_the_docstring_of_errors_draws_the_tree() -> None:
    [tree] = [
        part for part in (errors.__doc__ or "").split("\n\n") if part.startswith("Moderation")
    ]
    assert parents(tree) == REAL_PARENTS


# Commands


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields every command that does something, by what is typed for it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(("moderation", *path)), command


ROOT_COMMAND: Any = typer.main.get_command(cli.app)
COMMANDS = dict(walk(ROOT_COMMAND))


def options(command: Any) -> list[Any]:
    return [
        param
        for param in command.params
        if param.param_type_name == "option" and "--help" not in param.opts
    ]


def names(param: Any) -> set[str]:
    return {*param.opts, *param.secondary_opts}


def option_variables() -> set[str]:
    """Returns the variables that stand for options; typer makes those that we do not name."""
    return {
        param.envvar or "_".join((*command.upper().split(), param.name.upper()))
        for command, found in COMMANDS.items()
        for param in options(found)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text))
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert named <= settings | option_variables()


def test_variables_of_options_are_found() -> None:
    assert {f"{PREFIX}SCAN_FORMAT", f"{PREFIX}SCAN_FAIL_ON"} <= option_variables()


def test_variables_of_options_are_called_as_the_commands_page_says() -> None:
    called = {
        f"{command} {max(param.opts, key=len).lstrip('-')}".upper()
        for command, found in COMMANDS.items()
        for param in options(found)
    }
    assert option_variables() == {re.sub("[ -]", "_", name) for name in called}


def command_rows(name: str) -> list[dict[str, str]]:
    """Returns the rows of a command's table of arguments and options, if it has one."""
    prose = section("commands.md", name).prose
    head = re.search(r"^\| (argument|option)", prose, re.MULTILINE)
    if head is None:
        return []
    rows = table(prose[head.start() :])
    [column, *_] = rows[0]
    return [{**row, "name": row[column]} for row in rows]


def test_the_walk_finds_the_commands() -> None:
    assert {"moderation scan", "moderation policy lint"} <= set(COMMANDS)


def test_the_commands_page_has_a_section_for_every_command_and_no_other() -> None:
    headings = [part.heading for part in read_sections(DOCS / "commands.md")]
    assert sorted(h for h in headings if h.startswith("moderation ")) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_has_every_option_and_no_other_of(name: str) -> None:
    described = {
        span.split()[0]
        for row in command_rows(name)
        for span in spans(row["name"])
        if span[0] == "-"
    }
    assert described == {opt for param in options(COMMANDS[name]) for opt in names(param)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_has_every_argument_and_no_other_of(name: str) -> None:
    described = [first_span(row, "name") for row in command_rows(name)]
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    assert [d for d in described if not d.startswith("-")] == [
        (param.metavar or param.name.upper()) + ("..." if param.nargs == -1 else "")
        for param in arguments
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_says_what_is_required_and_the_defaults_of(name: str) -> None:
    rows = {first_span(row, "name").split()[0].rstrip("."): row for row in command_rows(name)}
    for param in COMMANDS[name].params:
        if "--help" in param.opts:
            continue
        is_option = param.param_type_name == "option"
        row = rows[param.opts[0] if is_option else param.metavar or param.name.upper()]
        assert (row["default"] == "required") == param.required
        if param.default is not None and not param.required:
            assert row["default"] == f"`{getattr(param.default, 'value', param.default)}`"


def choices(param: Any) -> set[str]:
    """Returns the words that an option may have, where they are few; typer has no public way."""
    annotation = param.type_descriptor.annotation
    kinds = (annotation, *get_args(annotation))
    literals = {
        str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)
    }
    classes = [kind for kind in kinds if inspect.isclass(kind)]
    return literals | {str(word) for kind in classes if issubclass(kind, StrEnum) for word in kind}


def test_choices_are_found() -> None:
    found = {p.opts[0]: choices(p) for _, command in COMMANDS.items() for p in options(command)}
    assert found["--fail-on"] == {"review", "block"}
    assert found["--queue"] == {"interactive", "bulk"}
    assert found["--model"] == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_has_every_choice_of(name: str) -> None:
    formats = {first_span(r, "format"): r for r in table(section("commands.md", "Formats").prose)}
    assert set(formats) == {*get_args(RowFormat), *get_args(QueuesFormat)}
    for param in options(COMMANDS[name]):
        if "--format" in param.opts:
            taking = {
                form
                for form, row in formats.items()
                if row["commands"].startswith("all")
                or name.removeprefix("moderation ") in spans(row["commands"])
            }
            assert taking == choices(param)
            continue
        [row] = [row for row in command_rows(name) if param.opts[0] in row["name"]]
        assert choices(param) <= set(spans(row["meaning"]))


def test_the_commands_page_has_the_options_of_moderation_itself() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for param in options(ROOT_COMMAND):
        assert any(f"`moderation {opt}`" in text for opt in names(param))


def test_the_commands_page_has_every_exit_code() -> None:
    rows = table(section("commands.md", "Exit codes").prose)
    codes = (
        0,
        exit_codes.FINDINGS,
        exit_codes.USAGE,
        exit_codes.UNEXPECTED,
        exit_codes.INTERRUPTED,
    )
    assert [int(row["code"]) for row in rows] == list(codes)


def test_the_commands_page_has_every_check_of_doctor() -> None:
    prose = section("commands.md", "moderation doctor").prose
    rows = table(prose[prose.index("| check |") :])
    assert set(doctor.CHECKS) <= {row["check"] for row in rows}


def typed_commands(page: Path) -> Iterator[list[str]]:
    """Yields the words of every `moderation ...` on a page that should work."""
    for part in read_sections(page):
        if NOT_YET.search(part.heading):
            continue
        lines = [
            line
            for block in part.blocks
            if block.language in SHELL
            for line in block.text.split("\n")
        ]
        for text in [*spans(part.heading), *spans(part.prose), *lines]:
            for piece in re.split(r"\||&&|;|\$\(", text):
                words = words_of(piece)
                while words and (words[0] == "$" or "=" in words[0] or words[0] == "export"):
                    words = words[1:]
                if words and words[0].rsplit("/", 1)[-1] == "moderation":
                    yield words[1:]


def words_of(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # half a quotation, where a pipe stood inside it
        return text.split()


def test_typed_commands_are_found_in_prose_and_in_blocks() -> None:
    found = list(typed_commands(DOCS / "commands.md"))
    assert ["demo"] in found
    assert ["policy", "lint", "-"] in found
    assert ["policy", "test"] not in found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for words in typed_commands(page):
        command, rest = ROOT_COMMAND, list(words)
        while rest and hasattr(command, "commands") and re.fullmatch(r"[\w-]+", rest[0]):
            if rest[0].startswith("-"):
                break
            assert rest[0] in command.commands, f"moderation {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {opt for param in command.params for opt in names(param)} | {"--help"}
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known, f"moderation {' '.join(words)}"


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
        block.text
        for part in read_sections(page)
        for block in part.blocks
        if block.language == "yaml" and block.text.startswith("schema_version")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_policy_on_a_page_is_accepted(page: Path) -> None:
    for text in policy_blocks(page):
        parse_policy(text.encode(), page.name, model="openai/clip-vit-base-patch32")


def test_the_first_policy_has_ten_lines() -> None:
    [first, *_] = policy_blocks(DOCS / "policies.md")
    assert len(first.split("\n")) == 10


def test_the_refused_policy_has_the_problems_that_the_page_shows() -> None:
    blocks = section("policies.md", "What is refused").blocks
    [broken] = [block.text for block in blocks if block.text.startswith("# broken.yaml")]
    [shown] = [block.text for block in blocks if block.text.startswith("broken.yaml:")]
    with pytest.raises(PolicyError) as caught:
        parse_policy(broken.encode(), "broken.yaml")
    assert str(caught.value).split("\n") == shown.split("\n")


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


def message_block(first_words: str) -> str:
    [text] = [
        block.text
        for part in read_sections(DOCS / "messages.md")
        for block in part.blocks
        if block.text.startswith(first_words)
    ]
    return text


def test_the_messages_page_names_the_task_and_its_queues() -> None:
    spoken = spans(section("messages.md", "The task").prose)
    assert {messages.TASK_NAME, messages.QUEUES["interactive"], messages.QUEUES["bulk"]} <= set(
        spoken
    )
    assert messages.EMBED_TASK_NAME in spans(section("messages.md", "Embedding images").prose)
    script = message_block("# host.py")
    assert f'"{messages.TASK_NAME}"' in script
    assert f'"{messages.QUEUES["interactive"]}"' in script


def test_the_whole_message_on_the_messages_page_is_one_that_a_worker_takes(
    redis_server: EmbeddedRedis, worker: EmbeddedWorker, settings: Settings
) -> None:
    shown, body = (block.text for block in section("messages.md", "The whole message").blocks)
    queue, tasks = messages.QUEUES["interactive"], [messages.TASK_NAME]
    envelope = read_envelope(shown.encode(), queue, tasks=tasks, largest=100_000)
    assert [*envelope.arguments] == json.loads(body)
    request = ModerationRequest.model_validate(envelope.arguments[1]["request"])
    assert envelope["headers"]["id"] == request.request_id
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.lpush(queue, shown)
    # It is an answer to the request: its image is of a host that this worker may not ask.
    with pytest.raises(RequestError, match=r"images\.example\.com") as caught:
        Client(settings).collect(request.request_id)
    assert caught.value.where != "message"


def test_the_response_on_the_messages_page_is_one_of_the_first_policy() -> None:
    shown = message_block('{\n  "schema_version"')
    response = ModerationResponse.model_validate_json(shown)
    assert json.loads(shown) == response.model_dump(mode="json")
    [policy_text, *_] = policy_blocks(DOCS / "policies.md")
    policy = parse_policy(policy_text.encode(), "policies.md")
    [verdict] = response.verdicts
    assert verdict.policy == policy.stamp
    assert [label.label for label in verdict.labels] == [label.id for label in policy.labels]


def test_the_failure_on_the_messages_page_is_an_error_of_ours() -> None:
    failure = json.loads(message_block('{\n  "exc_type"'))
    error = ERRORS[failure["exc_type"]](*failure["exc_message"])
    assert list(error.args) == failure["exc_message"]
    assert type(error).__module__ == failure["exc_module"]


def run_without_package(script: Path, redis_url: str, *arguments: str) -> str:
    """Returns what a script prints where our package cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['moderation'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(script), *arguments],
        env={**os.environ, "REDIS_URL": redis_url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_celery_host_gets_verdicts_and_failures(
    redis_server: EmbeddedRedis, worker: EmbeddedWorker, photographs: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "host.py"
    script.write_text(message_block("# host.py"), encoding="utf-8")
    [cat] = [path for path in photographs if path.name == "chelsea.png"]
    said = run_without_package(script, redis_server.url, str(cat), "weapons", "document-privacy")
    assert [line.split()[0] for line in said.splitlines()] == ["weapons", "document-privacy"]
    refused = run_without_package(script, redis_server.url, str(script), "weapons")
    [shown] = [
        block.text
        for part in read_sections(DOCS / "messages.md")
        for block in part.blocks
        if block.text.startswith("$ python host.py host.py")
    ]
    assert refused.strip().splitlines() == shown.split("\n\n")[0].splitlines()[1:]


def test_the_result_can_be_read_without_celery(
    redis_server: EmbeddedRedis, client: Client, photographs: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "poll.py"
    script.write_text(message_block("# poll.py"), encoding="utf-8")
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
    [block] = section("errors.md", "In a web app").blocks
    script = tmp_path / "app.py"
    script.write_text(block.text, encoding="utf-8")
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
    [rows] = [
        table(part.prose)
        for part in read_sections(DOCS / "encoders.md")
        if part.prose.count("| encoder |")
    ]
    assert {first_span(row, "encoder") for row in rows} == set(LOADERS)


def test_the_encoders_page_has_every_member_of_an_encoder() -> None:
    prose = section("encoders.md", "Adding an encoder").prose
    described = {first_span(row, "member").partition("(")[0] for row in table(prose)}
    methods = {name for name in vars(Encoder) if inspect.isfunction(vars(Encoder)[name])}
    assert described == set(Encoder.__annotations__) | {m for m in methods if not m.startswith("_")}
