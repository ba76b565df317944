"""What the API says and takes of a site's documents."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.context import Millis, Row, Text
from core.settings.documents import DocumentType

Kind = Literal[
    "construction_permit", "dust_plan", "safety_plan", "contract", "drawing", "certificate", "test_report", "other"
]
Validity = Literal["unlimited", "valid", "due", "expired"]
DUE_DAYS = 30
"""A document is due when it has so many days left."""

DocumentId = Annotated[int, Path(ge=1, lt=2**63, examples=[12])]


_Stripped = Annotated[Text, StringConstraints(strip_whitespace=True)]

# Short enough that all of them fit into the line of a request, which proxies cut at 8 KiB.
Title = Annotated[_Stripped, Field(min_length=1, max_length=150, examples=["建筑工程施工许可证"])]
KindText = Annotated[_Stripped, Field(max_length=60, description="Own words for it, of `other` and of no else.")]
ValidUntil = Annotated[
    date | None,
    Field(
        ge=date(2000, 1, 1),
        le=date(2199, 12, 31),
        description="Last day on which it is valid, by the site's clock; null: without end.",
        examples=["2027-06-30"],
    ),
]
Note = Annotated[_Stripped, Field(max_length=300)]


class DocumentFacts(BaseModel):
    """What a person says of a document."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    kind_text: KindText = ""
    title: Title
    valid_until: ValidUntil = None
    note: Note = ""

    @model_validator(mode="after")
    def _kind_has_its_words(self) -> DocumentFacts:
        if (self.kind == "other") != bool(self.kind_text):
            raise ValueError("kind_text is for the kind `other`, which needs it")
        return self


class DocumentForm(DocumentFacts):
    """A document as it shall be: everything is replaced, so everything is named."""

    valid_until: ValidUntil
    note: Note


class NewDocument(DocumentFacts):
    """What comes beside the file of an upload, in the query."""

    file_name: Annotated[
        Text, Field(min_length=1, max_length=255, description="The file's own name.", examples=["施工许可证.pdf"])
    ]


class Withdrawal(BaseModel):
    """Why a document is withdrawn."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[_Stripped, Field(min_length=1, max_length=300, examples=["已换发新证"])]


class Document(BaseModel):
    """A document of a site."""

    id: int = Field(examples=[12])
    site_id: int = Field(examples=[1])
    kind: Kind
    kind_text: str = Field(description="Own words for it, of `other` only.")
    title: str = Field(examples=["建筑工程施工许可证"])
    file_name: str = Field(examples=["施工许可证.pdf"])
    media_type: str = Field(description="By the content.", examples=["application/pdf"])
    bytes: int = Field(examples=[183204])
    sha256: str = Field(description="SHA-256 of the file.", examples=["9f86d0..."])
    valid_until: date | None = Field(description="Last day, by the site's clock; null: without end.")
    validity: Validity = Field(description=f"`due`: {DUE_DAYS} days or fewer are left. `unlimited`: without end.")
    days_left: int | None = Field(description="Of the site's clock; 0: today is the last day, negative: it is over.")
    note: str
    uploaded_at: Millis
    uploaded_by: str = Field(description="A person's code.", examples=["wang"])
    uploaded_by_name: str | None
    uploaded_by_name_en: str | None
    changed_at: Millis | None
    changed_by: str | None
    withdrawn_at: Millis | None
    withdrawn_by: str | None
    withdrawn_by_name: str | None
    withdrawn_by_name_en: str | None
    withdrawn_reason: str | None
    file_kept: bool = Field(description="False: the file was removed at the end of its time, long after a withdrawal.")
    etag: str = Field(description="For If-Match of a change.", examples=['"12-1"'])


class DocumentLimits(BaseModel):
    """What an upload may be."""

    max_bytes: int = Field(examples=[52428800])
    types: list[DocumentType]
    media_types: list[str] = Field(description="Of the types.", examples=[["application/pdf"]])


class DocumentPage(BaseModel):
    """Documents of a site, the newest first."""

    items: list[Document]
    next: int | None = Field(description="`before` of the next page; null on the last.")
    due: int = Field(description="How many of the site are over or due, whatever is asked for; withdrawn ones apart.")
    limits: DocumentLimits


def shown(found: Row) -> Document:
    """A row of the statement `documents`."""
    days_left = found["days_left"]
    validity: Validity = "valid"
    if days_left is None:
        validity = "unlimited"
    elif days_left < 0:
        validity = "expired"
    elif days_left <= DUE_DAYS:
        validity = "due"
    etag = f'"{found["id"]}-{found["version"]}"'
    facts = {name: value for name, value in found.items() if name != "version"}
    return Document(**facts, validity=validity, etag=etag)
