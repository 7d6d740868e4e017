"""The documentation's build."""

project = "django_pollable"
author = "The django_pollable maintainers"
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
html_title = project
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_copy_source = False
pygments_dark_style = "github-dark"
