"""A policy whose label of nudity is scored by Yahoo's Open-NSFW, as its package has it."""

from __future__ import annotations

OPEN_NSFW_SHA256 = "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"

OPEN_NSFW_POLICY = f"""\
schema_version: 1
id: nudity
version: 1
title: Nudity
scoring: contrast
labels:
  - id: nudity
    category: sexual/nudity
    classifier:
      file: open-nsfw
      sha256: {OPEN_NSFW_SHA256}
      output: {{column: 1}}
      preprocessing:
        resize: [256, 256]
        crop: [224, 224]
        resample: bilinear
        scale: 1.0
        mean: [123.0, 117.0, 104.0]
        layout: nhwc
        channels: bgr
    action: block
    threshold: 0.8
  - id: gun
    prompts: [a handgun]
    action: review
    threshold: 0.95
  - id: anything
    prompts: [a photograph, an everyday object, a person in everyday clothes]
""".encode()
