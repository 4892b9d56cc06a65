"""The URLs of the project."""

from django.urls import include, path

urlpatterns = [path("", include("photos.urls"))]
