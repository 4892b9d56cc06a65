"""The pages: the published photos with an upload form, and one photo."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.forms import modelform_factory
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from .models import Photo
from .moderating import save_and_submit

#: What renditions are, by the ends of their names.
CONTENT_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png"}

PhotoForm = modelform_factory(Photo, fields=["image"])


def photos(request: HttpRequest) -> HttpResponse:
    """Shows what is published; takes a new photo, which is not shown yet."""
    form = PhotoForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        save_and_submit(form.save(commit=False))
        return redirect("photos")
    published = Photo.objects.filter(status=Photo.Status.PUBLISHED)
    page = {"form": form, "photos": published}
    return render(request, "photos/photos.html", page, status=400 if form.errors else 200)


def photo(_: HttpRequest, pk: int) -> FileResponse:
    """Gives out what was judged of a published photo; any other does not exist to the outside.

    The upload is given out only where the worker writes no renditions: programs can show another
    picture of it than the one that was judged.
    """
    published = get_object_or_404(Photo, pk=pk, status=Photo.Status.PUBLISHED)
    if settings.RENDITIONS is None:
        return FileResponse(published.image.open("rb"))
    if not published.rendition:
        raise Http404("this photo has no rendition")
    file = Path(settings.RENDITIONS, published.rendition)
    # With the type named, and SecurityMiddleware's nosniff, a browser takes it for nothing else.
    return FileResponse(file.open("rb"), content_type=CONTENT_TYPES[file.suffix])
