"""An API that accepts photographs at once and is asked later what was decided."""

from __future__ import annotations

import logging
from uuid import UUID

from fastapi import FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from moderation import (
    ImageError,
    ModerationError,
    VerdictTimeout,
    acollect,
    asubmit,
    strictest_action,
)

#: Ids of policies that the worker serves.
POLICIES = ("weapons", "document-privacy")

MAX_IMAGE_BYTES = 10_000_000

log = logging.getLogger("photographs")

app = FastAPI(title="Photographs")


class Moderation(BaseModel):
    """Where a photograph stands; it may be shown where its action is "allow", and only there.

    What is shown then is `picture`, the file that the worker wrote of what it judged
    (MODERATION_RENDITIONS), and not the upload, of which a viewer may show another picture.

    Labels, scores and thresholds are not told: with them a stranger turns a photograph until it
    passes. The decision log has them, under the request's id.
    """

    request_id: str
    status: str
    action: str | None = None
    picture: str | None = None


@app.post("/images", status_code=202)
async def accept(image: UploadFile, response: Response) -> Moderation:
    """Puts a photograph on the queue; the header Location says where to ask what becomes of it."""
    content = await image.read(MAX_IMAGE_BYTES + 1)
    if len(content) > MAX_IMAGE_BYTES:
        raise HTTPException(413, f"the image is over {MAX_IMAGE_BYTES} bytes")
    request_id = await asubmit(content, POLICIES)
    response.headers["Location"] = f"/moderation/{request_id}"
    return Moderation(request_id=request_id, status="pending")


@app.get("/moderation/{request_id}")
async def look(request_id: UUID, response: Response) -> Moderation:
    """Answers 202 until the photograph is decided, then 200 with what the strictest policy asks."""
    try:
        verdicts = await acollect(str(request_id), timeout_seconds=0)
    except VerdictTimeout:
        response.status_code = 202
        response.headers["Retry-After"] = "1"
        return Moderation(request_id=str(request_id), status="pending")
    action = strictest_action(verdicts)
    picture = next((verdict.rendition.name for verdict in verdicts if verdict.rendition), None)
    return Moderation(
        request_id=str(request_id),
        status="decided",
        action=action,
        picture=picture if action == "allow" else None,
    )


@app.exception_handler(ModerationError)
async def explain(_: Request, error: ModerationError) -> JSONResponse:
    """Answers 400 if the photograph is at fault, and 503 if Redis or the worker failed."""
    if isinstance(error, ImageError):  # of the photograph itself, so whoever sent it may read it
        return JSONResponse({"detail": error.what}, 400)
    log.error("a photograph could not be moderated: %s", error)
    return JSONResponse({"detail": "it cannot be checked now; try again later"}, 503)
