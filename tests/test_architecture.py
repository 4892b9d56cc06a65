"""The rules that hold the modules together: which imports which, what loads torch, public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import audit
import moderation
from tests.conftest import ROOT

#: For each folder its modules and folders, from the ground up. Each imports from the lines above
#: its own, never from its own line or a later one. "|" stands between those of a line.
ORDER = {
    "moderation": """
        visible_text | listen_address | whole_file
        errors
        settings | messages
        policy | images | queue
        encoders
        features
        scoring
        decision_log
        client | worker | embedded_servers
        commands
        __main__
    """,
    "moderation.settings": "kinds\n settings",
    "moderation.messages": "message | response | queues | image_signatures\n reference\n request",
    "moderation.policy": """
        yaml_source | authored
        plain_data | fitted | taxonomy | yaml_edits
        label_rules | label
        rules
        problems | schema
        files | difference
        pinned
        revision | change_sentences | lint
    """,
    "moderation.policy.lint": """
        explanation | finding | linted_policy | vocabulary
        rule | suppression
        articles | committed | expectations | language | likeness
        people | structure | templates | thresholds | wording
        registry
        linting
    """,
    "moderation.images": """
        av1 | bmp_pixels | boxes | confinement | fetch | icc_curves | jpeg_segments | png_chunks
        box_items | colour_table | icc_back | png_pixels | polyglots | profile_length | views
        avif_data | colour_memory | icc | webp_pixels
        colour_codes | conversion | video_range
        embedded_profile
        png_colours
        profiles
        formats | colours | animation | orientation | borders
        folder | oddities | rendition | upright
        frames | looks | rendition_folder
        pixels
        decode
    """,
    "moderation.images.animation": "frame\n gif | apng | canvas\n album",
    "moderation.images.oddities": """
        names | tail
        profile
        bmp | boxes | gif | jpeg | png | webp
        finding
    """,
    "moderation.images.fetch": """
        addresses | deadline | files | url
        network | stores
        http
        fetcher
    """,
    "moderation.images.decode": "channel\n child\n process\n pool",
    "moderation.queue": """
        celery_app | keys | scripts
        bell | depth | envelope | submission_scripts
        control_transport | packed_message
        acceptance | former_keys | hand
        kept_requests
    """,
    "moderation.encoders": """
        batch_limit | cores | options | encoder | hub | image_tower
        hardware | matching | sentences | remote | transfer | compiled | classifiers
        cuda | openvino | starter
        clip
        registry
    """,
    "moderation.encoders.classifiers": """
        refusal | outside_data | description
        files | onnx_model
        loading
    """,
    "moderation.features": """
        location | space
        store_files
        model_description | store | stored_classifier
        stored_encoder | contents
        pruning | stored_models
    """,
    "moderation.scoring": """
        classifier | conditions | timer | batching
        distance | publication | verdict
        classified | left_out | text_vectors
        served
        explanation | sighted
        verdict_batch
        pipeline
        pipeline_loading
    """,
    "moderation.decision_log": """
        records | tables | location | sqlite | postgresql | writers_turn
        database | migrations | quarantine
        decisions | ledger | outbox | retention | upgrade
        answers | export | known_cosines | stored_decisions
        batch | replay
        log | reconsideration
    """,
    "moderation.decision_log.migrations": "env | versions",
    "moderation.decision_log.migrations.versions": "first_tables",
    "moderation.client": "given_images\n client\n embedding",
    "moderation.worker": """
        periodic_threads | outage_filter | outages | log_lines | quarantine | arrival | release
        budget | intake | stage
        job | metrics
        answering | suspects | callbacks | metrics_server | celery_worker | results
        custody | fetching
        replies
        line
        assembly
        processes
    """,
    "moderation.worker.processes": """
        shares | orders | encoder_server
        child | figures | encoder_process | line_process
        supervisor | member
        assembly
    """,
    "moderation.worker.callbacks": """
        receivers | signer | schedule | breaker
        delivery
        dispatcher
    """,
    "moderation.commands": """
        command_line | exit_codes | options
        output
        image_paths | local_pipeline | passing_store
        callbacks | decisions | doctor | policy | quarantine | samples | store
        model_check
        evaluate | model | queues | scan | submit | worker
        demo
        app
    """,
    "moderation.commands.policy": """
        diff_output | example_runs | explained | findings_output | known_texts | logged | reading
        steering | watching
        example_output | flips_output
        drawing
        diff | example_tests | explain | lint | pin | show
        app
    """,
    "moderation.commands.doctor": """
        diagnosis | plan
        setup
        decision_log | redis | worker
        command
    """,
    "audit": """
        errors | plurals | statistics
        datasets
        recordings
        embedding | metrics
        flips
        results | predicted
        gate | evaluation
        report
        audits
        commands
        __main__
    """,
    "audit.statistics": """
        intervals | support
        crossed | exact_shares | pooling | random_tables | scores | significance | stratification
        detection | equivalence | paired_scores | random_swaps
    """,
    "audit.datasets": """
        coded_values | image_references | spelling
        groups
        dataset
        stored_table
        adapters | balanced_sample | chosen_groups | coverage | repeated_images
        image_problems
    """,
    "audit.datasets.adapters": """
        options | csv_and_parquet
        annotated_images
        annotation_problems
        annotated_dataset
        folders | recorded | spreadsheet
        table
        fairface
        utkface
        pictures
    """,
    "audit.recordings": """
        claims | feature_parts
        feature_checks | feature_source
        annotated_features | text_features
        recording
        recording_folder
        feature_export | feature_import
    """,
    "audit.embedding": "dataset_features\n classifier_outputs | recorded_encoder | remote_features",
    "audit.metrics": """
        truth | variants | skew
        predictions
        thresholds | rates | flow | confusion
        calibration | chance | disparity | power | separation | shift
        ablation | claims | equivalences | gaps | label_noise | pooled | standardised
        near_duplicates | wording_gaps
    """,
    "audit.predicted": """
        files | texts | words
        columns
        flags | problems | system_columns
        found_columns
        cell_query
        cells | id_problems | score_problems
        cell_reading | systems
        truths
    """,
    "audit.results": """
        rows | formatting
        ablation_rows | adjusted_rows | finding | robustness_rows
        results | gap_sentences | shift_sentences
        ablation_sentences | adjusted_sentences | cautions | largest_claim | left_out
        many_sentences
        headline_sentences | next_steps | robustness_sentences
        practice_sentences
        headline | opening_sentences | summary
    """,
    "audit.flips": "flips\n dataset_flips",
    "audit.evaluation": """
        evaluated_system | labelled_images
        claimed_names | targets
        figures | labelled_dataset | paired | thumbnails | wrong_pictures
        sentences
        evaluation | label_folders | label_table
    """,
    "audit.gate": "limits\n counts\n figures\n reasons\n checks\n runs\n spending\n report",
    "audit.report": """
        csv_tables | grouping | inline | names
        shown_numbers
        cells | plots
        blocks
        opening | sections
        document
        evaluation_sections | html | markdown
        evaluation_page | flips_page | writing
    """,
    "audit.report.plots": """
        in_words | svg
        canvas
        alluvial | bars | dumbbell | forest | heatmap | score_curves | threshold_curves
        wording_ranges
    """,
    "audit.report.sections": "many_systems | wording_gaps\n"
    " ablation | adjusted | confusion | flagged | flows | frameworks | gaps | labels | method"
    " | power | robustness | sensitivity | separation | shifts",
    "audit.audits": """
        robustness
        assessment
        audited | recorded_prompts
        subject | adjusted | predicted_subject
        run | gate | compare | ablate
    """,
    "audit.commands": """
        options | output
        audit_options | opening | predictions
        ablate | compare | datasets | embed | evaluation | evaluation_output | export_features
        flips | gate | gate_record | import_features | reached | run | skew
        app
    """,
}
LEVELS = {
    folder: {
        name.strip(): level
        for level, line in enumerate(text.strip().splitlines())
        for name in line.split("|")
    }
    for folder, text in ORDER.items()
}
PATHS = sorted(
    path for package in ("moderation", "audit") for path in (ROOT / package).rglob("*.py")
)
HEAVY = ("torch", "transformers", "pandas")
#: Two encoders, what runs their image towers, and what device and number format there is.
WITH_TORCH = {
    f"moderation.encoders.{name}"
    for name in (
        *("clip", "starter", "image_tower", "openvino", "hardware"),
        *("cuda", "compiled", "transfer", "batch_limit", "sentences"),
    )
}
#: Which rooms of `moderation` each room of `audit` may use, and its one door to the queue.
USED_BY_AUDIT = {
    "__main__": "commands | encoders",
    "audits": "encoders | errors | policy | scoring",
    "commands": "commands | encoders | errors | features | images | policy | visible_text"
    " | whole_file",
    "datasets": "errors | images | visible_text",
    "embedding": "client | encoders | errors | features | images | messages | policy | scoring",
    "errors": "errors | visible_text",
    "evaluation": "encoders | images | messages | scoring | visible_text",
    "flips": "encoders | messages | policy | scoring",
    "gate": "errors | policy | visible_text",
    "metrics": "encoders | policy | scoring",
    "predicted": "encoders | scoring | visible_text",
    "recordings": "encoders | visible_text | whole_file",
    "report": "visible_text | whole_file",
    "results": "messages | policy | visible_text",
    "statistics": "",
}
AUDIT_USES = {room: text.split(" | ") for room, text in USED_BY_AUDIT.items()}
DOOR = "moderation.client.embedding"


def module_name(path: Path) -> str:
    """Returns the dotted name of a file; that of a folder for its `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PATHS}
#: Where the names lie that the two packages hand on when they are first asked for.
HOMES = {
    f"{package.__name__}.{name}": home
    for package in (moderation, audit)
    for name, home in package._MODULE_OF.items()
}


def imports(source: str) -> set[str]:
    """Returns the modules that a text imports anywhere in it, by full name or with leading dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for name in (f"{origin}.{alias.name}" for alias in node.names):
                found.add(name if name in MODULES else HOMES.get(name, origin))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
    return found


def wrong_imports(module: str, source: str) -> Iterator[str]:
    """Yields what a module imports against the order of the folder where the two paths part."""
    for other in sorted(imports(source)):
        if other.startswith(".") or module.startswith(f"{other}."):
            yield f"{module} imports {other}: from inside a folder, import its modules by full name"
        elif other in MODULES and not f"{other}.".startswith(f"{module}."):
            ours, theirs = module.split("."), other.split(".")
            apart = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
            folder = ".".join(ours[:apart])
            if folder and LEVELS[folder][theirs[apart]] >= LEVELS[folder][ours[apart]]:
                yield f"{module} imports {other}, which {folder} has beside or above it"
            elif ours[0] == "audit" != theirs[0] and theirs[1] not in AUDIT_USES[ours[1]]:
                yield f"{module} imports {other}, which the audit's {ours[1]} has no use for"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"moderation", "audit"}))
def test_imports_point_one_way(module: str) -> None:
    assert list(wrong_imports(module, MODULES[module].read_text())) == []


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("moderation.images.fetch.network", "from moderation.images.fetch.http import HttpFetcher"),
        ("moderation.images.fetch.url", "from moderation.images.fetch import addresses"),
        ("moderation.encoders.hub", "import moderation.encoders.registry"),
        ("moderation.scoring.verdict", "def f():\n    from moderation.worker.line import x"),
        ("audit.report.plots.bars", "from audit.report.plots.forest import draw"),
        ("audit.metrics.rates", "from audit.embedding import dataset_features"),
        ("audit.datasets.adapters.options", "from audit.datasets.adapters import table"),
        ("moderation.images.decode.child", "from . import pool"),
        ("moderation.images.decode.child", "from .pool import DecoderPool"),
        ("moderation.policy.yaml_source", "from moderation.policy import load_policy"),
        ("moderation.features.store", "from moderation.features import Storage"),
        ("moderation.errors", "from moderation import submit"),
        ("moderation.worker.line", "from moderation import Client"),
        ("moderation.client.client", "from moderation.worker.line import x"),
        ("moderation.encoders.hub", "import_module('moderation.worker.line')"),
        ("audit.errors", "from audit import run_audit"),
        ("audit.datasets.dataset", "from moderation import load_settings"),
        ("audit.metrics.rates", "from moderation.commands.worker import x"),
        ("audit.report.names", "import moderation.scoring.pipeline"),
    ],
)
def test_a_planted_import_against_the_order_is_found(module: str, planted: str) -> None:
    assert len(list(wrong_imports(module, MODULES[module].read_text()))) == 0
    assert len(list(wrong_imports(module, f"{MODULES[module].read_text()}\n{planted}\n"))) == 1


def test_every_module_and_folder_has_its_place() -> None:
    there: dict[str, set[str]] = {}
    for module in MODULES:
        while (parts := module.rpartition("."))[0]:
            there.setdefault(parts[0], set()).add(parts[2])
            module = parts[0]
    assert there == {folder: set(levels) for folder, levels in LEVELS.items()}


@pytest.mark.parametrize("package", ["moderation", "audit"])
def test_a_top_folder_holds_about_a_dozen_nouns(package: str) -> None:
    assert len(LEVELS[package].keys() - {"__main__"}) <= 17


@pytest.mark.parametrize("folder", sorted(LEVELS))
def test_no_two_names_of_a_folder_differ_by_an_s(folder: str) -> None:
    assert not {f"{name}s" for name in LEVELS[folder]} & set(LEVELS[folder])


def test_no_two_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = {}
    for part in ("moderation", "audit", "tests", "benchmarks"):
        for path in sorted((ROOT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_grows_beyond_one_noun(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= 300
    last = module.rpartition(".")[2]
    assert last not in ("utils", "util", "helpers", "helper", "manager", "base", "core")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_encoder_files_import_torch(module: str) -> None:
    heavy = {name.split(".")[0] for name in imports(MODULES[module].read_text())} & set(HEAVY)
    if module in WITH_TORCH:
        return
    assert heavy <= ({"pandas"} if module.startswith("audit.") else set())


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name.startswith("moderation"))
)
def test_only_commands_know_the_audit(module: str) -> None:
    knows = any(name.split(".")[0] == "audit" for name in imports(MODULES[module].read_text()))
    assert not knows or module.startswith("moderation.commands.")


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("audit")))
def test_the_audit_knows_one_door_to_the_queue(module: str) -> None:
    known = imports(MODULES[module].read_text())
    doors = {name for name in known if name.startswith("moderation.client")}
    assert doors == ({DOOR} if module == "audit.embedding.remote_features" else set())
    assert not {name.split(".")[0] for name in known} & {"torch", "transformers", "celery"}


@pytest.mark.parametrize(
    "statement",
    [
        "import moderation",
        "from moderation import submit, collect",
        "import moderation.client.client",
        "import moderation.commands.app",
        "import moderation.embedded_servers",
        "import moderation.client.embedding",
        "import moderation.scoring.pipeline",
        "import audit.commands.app",
    ],
)
def test_the_host_side_loads_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_the_audits_commands_loads_none_of_the_heavy_packages() -> None:
    heavy = (*HEAVY, "statsmodels", "scipy", "matplotlib", "pyarrow")
    code = f"import audit.commands.app, sys; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_the_package_loads_no_other_package() -> None:
    code = "import sys; before = set(sys.modules); import moderation; "
    code += "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - set(sys.stdlib_module_names)
    assert loaded == {"moderation"}


@pytest.mark.parametrize("package", [moderation, audit], ids=["moderation", "audit"])
def test_the_public_names_are_sorted_complete_and_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert set(names) == set(package._MODULE_OF)  # type: ignore[attr-defined]
    assert all(getattr(package, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing  # type: ignore[attr-defined]
