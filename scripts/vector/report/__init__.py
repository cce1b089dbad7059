"""The visual report: one HTML page over the marts. `gather` reads them, `page` writes the page, `charts` draws."""
