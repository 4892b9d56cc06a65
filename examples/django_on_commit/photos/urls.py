"""The URLs of the photos."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.photos, name="photos"),
    path("photos/<int:pk>", views.photo, name="photo"),
]
