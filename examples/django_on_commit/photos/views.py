"""The pages: the published photos with an upload form, and one photo."""

from __future__ import annotations

from django.forms import modelform_factory
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from .models import Photo
from .moderating import save_and_submit

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
    """Gives out the file of a published photo; any other does not exist to the outside."""
    published = get_object_or_404(Photo, pk=pk, status=Photo.Status.PUBLISHED)
    return FileResponse(published.image.open("rb"))
