"""Remote inspection (远程巡查): through a site's cameras and a checklist to findings and a signed report."""
