"""An API that accepts photographs at once and is asked later what was decided."""

from __future__ import annotations

from uuid import UUID

from fastapi import FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from moderation import (
    ImageError,
    ModerationError,
    Verdict,
    VerdictTimeout,
    acollect,
    asubmit,
)

#: Ids of policies that the worker serves.
POLICIES = ("weapons", "document-privacy")

MAX_IMAGE_BYTES = 10_000_000

app = FastAPI(title="Photographs")


class Moderation(BaseModel):
    """Where a photograph stands; without verdicts it must not be shown."""

    request_id: str
    status: str
    verdicts: tuple[Verdict, ...] = ()


@app.post("/images", status_code=202)
async def accept(image: UploadFile, response: Response) -> Moderation:
    """Puts a photograph on the queue; the header Location says where to ask for its verdicts."""
    content = await image.read(MAX_IMAGE_BYTES + 1)
    if len(content) > MAX_IMAGE_BYTES:
        raise HTTPException(413, f"the image is over {MAX_IMAGE_BYTES} bytes")
    request_id = await asubmit(content, POLICIES)
    response.headers["Location"] = f"/moderation/{request_id}"
    return Moderation(request_id=request_id, status="pending")


@app.get("/moderation/{request_id}")
async def look(request_id: UUID, response: Response) -> Moderation:
    """Answers 202 until the photograph is decided, then 200 with its verdicts."""
    try:
        verdicts = await acollect(str(request_id), timeout_seconds=0)
    except VerdictTimeout:
        response.status_code = 202
        response.headers["Retry-After"] = "1"
        return Moderation(request_id=str(request_id), status="pending")
    return Moderation(request_id=str(request_id), status="decided", verdicts=verdicts)


@app.exception_handler(ModerationError)
async def explain(_: Request, error: ModerationError) -> JSONResponse:
    """Answers 400 where the photograph is at fault, else 503: Redis or the worker failed."""
    status = 400 if isinstance(error, ImageError) else 503
    return JSONResponse({"error": type(error).__name__, "detail": error.what}, status)
