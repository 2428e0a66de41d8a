"""Reports: all output forms of results, behind one function.

`render(result, form, **options)` is the only function that results and packages that make them call. Renderers are
imported on first use, so importing this package is cheap.
"""

from .render import forms as forms
from .render import render as render
