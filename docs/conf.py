"""The documentation's build."""

project = "django_pollable"
author = "The django_pollable maintainers"
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
