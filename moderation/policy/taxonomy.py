"""What OpenAI, Amazon Rekognition and the EU's transparency database call a label's category."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from moderation.policy.authored import AuthoredRecord

#: Keys of `categories` in a result of POST /v1/moderations (omni-moderation-latest). Of an image
#: OpenAI scores only self-harm, sexual and violence, with what is under them; the rest is of texts.
OpenAiCategory = Literal[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
]

#: Labels of content moderation model 7, of its top level and then of its second; no name stands on
#: both. Source: docs.aws.amazon.com/rekognition/latest/dg/moderation-api.html.
RekognitionLabel = Literal[
    "Explicit",
    "Non-Explicit Nudity of Intimate parts and Kissing",
    "Swimwear or Underwear",
    "Violence",
    "Visually Disturbing",
    "Drugs & Tobacco",
    "Alcohol",
    "Rude Gestures",
    "Gambling",
    "Hate Symbols",
    "Explicit Nudity",
    "Explicit Sexual Activity",
    "Sex Toys",
    "Non-Explicit Nudity",
    "Obstructed Intimate Parts",
    "Kissing on the Lips",
    "Female Swimwear or Underwear",
    "Male Swimwear or Underwear",
    "Weapons",
    "Graphic Violence",
    "Death and Emaciation",
    "Crashes",
    "Products",
    "Drugs & Tobacco Paraphernalia & Use",
    "Alcohol Use",
    "Alcoholic Beverages",
    "Middle Finger",
    "Nazi Party",
    "White Supremacy",
    "Extremist",
]

#: `category` of a statement of reasons under the Digital Services Act, since 2025-07-01.
#: Source: Implementing Regulation (EU) 2024/2835; transparency.dsa.ec.europa.eu.
DsaCategory = Literal[
    "STATEMENT_CATEGORY_ANIMAL_WELFARE",
    "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    "STATEMENT_CATEGORY_CYBER_VIOLENCE",
    "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN",
    "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
    "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
    "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
    "STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE",
    "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    "STATEMENT_CATEGORY_PROTECTION_OF_MINORS",
    "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY",
    "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    "STATEMENT_CATEGORY_SELF_HARM",
    "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    "STATEMENT_CATEGORY_VIOLENCE",
]


class Taxonomy(AuthoredRecord):
    """What others call a label's category, each where it has a name for it."""

    openai: OpenAiCategory | None = Field(None, description="Category of OpenAI's moderation.")
    rekognition: RekognitionLabel | None = Field(
        None, description="Label of Amazon Rekognition's content moderation, version 7."
    )
    dsa: DsaCategory | None = Field(
        None, description="Category of a statement of reasons under the EU's Digital Services Act."
    )
