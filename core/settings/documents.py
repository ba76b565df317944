"""Documents of sites: what is taken, and how long what was withdrawn is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.settings.section import Section

DocumentType = Literal["pdf", "png", "jpeg", "docx", "xlsx", "pptx", "odt", "ods", "odp"]
"""A form of files that can be told by its content."""


class DocumentSettings(Section):
    """Documents of sites: permits, plans, contracts, drawings, certificates. Their files lie with the evidence."""

    max_mb: int = Field(default=50, ge=1, le=1024, description="Largest file that is taken, in MiB.")
    site_most_gb: float = Field(
        default=5, gt=0, description="Most GB of documents of one site, withdrawn ones included."
    )
    types: list[DocumentType] = Field(
        default=["pdf", "png", "jpeg", "docx", "xlsx", "pptx", "odt", "ods", "odp"],
        description="Forms that are taken, told by the content; office files with macros never are.",
    )
    withdrawn_days: float = Field(
        default=365, ge=1, le=36600, description="Days that the file of a withdrawn document is kept."
    )
