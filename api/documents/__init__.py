"""Documents of sites (工地资料): listed, uploaded, changed, withdrawn, downloaded; all of it audited."""

from api.documents import routes

__all__ = ["routes"]
