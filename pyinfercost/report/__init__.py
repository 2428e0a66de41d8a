"""Reports: every form that a result is shown in, behind one door.

`render(result, form, **options)` is the only function of this package that results, and packages that make them, call.
Renderers are imported when they are used, so that importing this package costs nothing.
"""

from .render import forms as forms
from .render import render as render
