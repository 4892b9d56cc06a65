"""An upload form; a photograph is published only where every policy allows it."""

from __future__ import annotations

from flask import Flask, render_template, request

from moderation import (
    ImageError,
    ModerationError,
    VerdictTimeout,
    collect,
    strictest_action,
    submit,
)

#: Ids of policies that the worker serves.
POLICIES = ("weapons", "document-privacy")

#: What becomes of a photograph, by action.
OUTCOMES = {
    "allow": ("is published", 200),
    "review": ("is held for review", 202),
    "block": ("is refused", 422),
}

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 10_000_000


@app.get("/")
def show_form() -> str:
    """Answers with the form."""
    return render_template("upload.html")


@app.post("/")
def upload() -> tuple[str, int]:
    """Moderates the photograph while the visitor waits, and says what becomes of it."""
    photo = request.files.get("photo")
    try:
        request_id = submit(photo.read() if photo else b"", POLICIES)
        verdicts = collect(request_id)  # waits MODERATION_VERDICT_TIMEOUT_SECONDS
    except VerdictTimeout as late:
        # A missing verdict permits nothing. A real app keeps the file where nobody sees it, with
        # the request id, and collects later, as ../django_on_commit does.
        app.logger.warning("%s", late)
        return answer(*OUTCOMES["review"])
    except ImageError as error:  # of the photograph itself, so the visitor may read it
        return answer(f"is not accepted: {error.what}", 400)
    except ModerationError:  # not the visitor, but Redis, the worker or our own settings
        app.logger.exception("an upload could not be moderated")
        return answer("cannot be checked now. Try again later", 503)
    action = strictest_action(verdicts)
    # Where `action` is "allow", and only there, a real app publishes the photograph: not the upload
    # but the file that `verdicts[0].rendition` names, as ../django_on_commit does. Which labels
    # fired is not told: with them a stranger turns a photograph until it passes.
    return answer(*OUTCOMES[action])


def answer(message: str, status: int) -> tuple[str, int]:
    """Returns the page with a message about the photograph; the template escapes all of it."""
    photo = request.files.get("photo")
    name = photo.filename if photo else ""
    return render_template("upload.html", name=name, message=message), status
